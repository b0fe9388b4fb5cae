import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import { causeOf } from '../../base/system-error.js';
import { isBlockName } from './blocks.js';
import { manifestPath, readManifest, type ReinforcedManifest } from './manifest.js';

/**
 * Makes a folder that of a reinforced data set, unless it is already. Half-written files of an
 * interrupted run are removed.
 *
 * @throws BantamError if it holds a set that was made with other settings (the difference is named), or
 * cannot be written.
 */
export async function claimFolder(folder: string, manifest: ReinforcedManifest): Promise<void> {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new BantamError(
      `The folder "${folder}" for the reinforced set cannot be made (${causeOf(error)}); name another one.`,
    );
  }
  const found = await readManifest(folder);
  const names = readdirSync(folder).filter(isBlockName);
  for (const left of names) if (left.endsWith('.tmp')) rmSync(join(folder, left));
  if (names.some((name) => !name.endsWith('.tmp'))) refuseOther(folder, found, manifest);
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  writeFileAtomic(manifestPath(folder), [Buffer.from(text)]);
}

function refuseOther(
  folder: string,
  found: ReinforcedManifest | null,
  wanted: ReinforcedManifest,
): void {
  const before = facts(found ?? {});
  const now = facts(wanted);
  const differing = [...now.keys()].filter((name) => before.get(name) !== now.get(name));
  if (differing.length === 0) return;
  const list = (values: ReadonlyMap<string, string>): string =>
    differing.map((name) => `${name} ${values.get(name) ?? 'not known'}`).join(', ');
  throw new BantamError(
    `The reinforced set in "${folder}" was made with ${list(before)}, but now ${list(now)} is asked for; give the same settings, or name another folder.`,
  );
}

function facts(manifest: Partial<ReinforcedManifest>): Map<string, string> {
  return new Map(Object.entries(manifest).map(([name, value]) => [name, JSON.stringify(value)]));
}
