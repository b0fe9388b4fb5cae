/**
 * Orders texts by code point, which is the order of their UTF-8 bytes: negative if `a` comes first.
 * JavaScript's own order goes by code units, where surrogates come before U+E000 to U+FFFF.
 */
export function compareCharacters(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** A code unit, surrogates above all others. */
export function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
