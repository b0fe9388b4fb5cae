/** `inProjWeight` → `in_proj_weight`, `cFc` → `c_fc`, `conv1` → `conv1` */
export function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
