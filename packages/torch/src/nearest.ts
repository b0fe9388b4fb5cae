import { at } from './at.js';

/** Number of insertions, deletions, substitutions that lead from one word to the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, at(row, j) + 1, at(next, j - 1) + 1));
    }
    row = next;
  }
  return at(row, b.length);
}

/**
 * The name among `known` that is closest to `word` in edit distance, whatever their case;
 * undefined unless more than 30 % of the longer of the two agrees, as a typing error leaves it.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    const similar = distance < 0.7 * Math.max(word.length, name.length);
    if (similar && distance < least) [best, least] = [name, distance];
  }
  return best;
}
