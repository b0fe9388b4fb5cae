/** Words of printed commands, so that a shell reads each as one. */

/** A word unchanged, or in quotation marks if a shell would split or replace it. */
export function shellWord(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
