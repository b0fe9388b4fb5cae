/** Hashes of texts, for tables in memory, and of files, to tell whether they are the same. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** FNV-1a over UTF-16 code units with the final mix of MurmurHash3, as a signed 32-bit integer. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Adds the bytes of a file to a hash, in parts of 1 MiB. Throws the system's error. */
export async function addFile(hash: Hash, path: string): Promise<void> {
  const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 2 ** 20 });
  for await (const chunk of chunks) hash.update(chunk);
}

/** SHA-256 of a file, in hexadecimal digits. Throws the system's error. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await addFile(hash, path);
  return hash.digest('hex');
}
