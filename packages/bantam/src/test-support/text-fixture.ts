import { readFileSync } from 'node:fs';

/** Reads a fixture of the text layer (fixtures/generate_text.py). */
export function fixture(name: string): unknown {
  const url = new URL(`../../fixtures/text/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as unknown;
}
