import { readFile } from 'node:fs/promises';

/** The benchmark's captions, written for it in the manner of photographs' captions. */
export async function readCaptions(): Promise<string[]> {
  const text = await readFile(new URL('../captions.txt', import.meta.url), 'utf8');
  return text.trimEnd().split('\n');
}
