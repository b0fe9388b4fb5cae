import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * First 16 hexadecimal digits of the SHA-256 of a model directory's weight files, in the order of their
 * names: work that depends on a model keeps it, so that other weights are not taken for them.
 */
export async function weightsDigest(directory: string): Promise<string> {
  const digest = createHash('sha256');
  for (const file of (await readdir(directory)).sort()) {
    if (!/\.(safetensors|bin|pt|pth)$/.test(file)) continue;
    for await (const chunk of createReadStream(join(directory, file))) {
      digest.update(chunk as Buffer);
    }
  }
  return digest.digest('hex').slice(0, 16);
}
