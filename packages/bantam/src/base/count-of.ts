/** `1 image`, `3 images`; a thing whose plural has no plain s comes with it. */
export function countOf(count: number, thing: string, several = `${thing}s`): string {
  return `${count} ${count === 1 ? thing : several}`;
}
