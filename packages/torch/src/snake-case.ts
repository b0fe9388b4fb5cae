/**
 * `inProjWeight` → `in_proj_weight`, `cFc` → `c_fc`, `conv1` → `conv1`. A name that begins with a capital
 * stays: `LayerNorm`, as transformers has it.
 */
export function snakeCase(field: string): string {
  if (/^[A-Z]/.test(field)) return field;
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
