import { readFile, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { isObject } from '../../base/schema.js';
import { makeFolder } from '../../base/make-folder.js';
import { isFile } from '../../base/path-kind.js';
import { writeRefusal } from '../../base/system-error.js';
import { CachedRepository } from './cache.js';
import { download } from './download.js';
import { withFileLock } from './file-lock.js';
import { chooseFiles, type ModelFileList } from './model-files.js';
import type { HubName } from './names.js';
import { describeFile, isSafePath, listRepository, type RepositoryFile } from './repository.js';
import { hubSettings, type HubOptions, type HubSettings } from './settings.js';

/** A model in the cache. */
export interface PulledModel {
  /** Folder with the model's files. */
  readonly directory: string;
  /** Path of the weights, or of the index of their parts. */
  readonly weights: string;
  /** True if a configuration is beside the weights. */
  readonly described: boolean;
  readonly commit: string;
  /** Files that were fetched now. */
  readonly fetched: readonly string[];
}

/** Options of {@link pullFromHub} and {@link cachedModel}. */
export interface PullOptions extends HubOptions {
  /** The weights' file, if a repository has several. */
  readonly file?: string;
}

/**
 * Fetches a model of the Hub into the cache, or what is missing of it there, at the commit that the revision has
 * now.
 *
 * @throws BantamError if there is no such model, it cannot be fetched, or the network is not to be used.
 */
export async function pullFromHub(name: HubName, options: PullOptions = {}): Promise<PulledModel> {
  const settings = hubSettings(options);
  const cache = new CachedRepository(settings.cacheDir, name.repository);
  if (settings.offline) {
    const cached = await cachedModel(name, options);
    if (cached !== null) return cached;
    throw new BantamError(
      `hf:${name.repository} at ${name.revision} is not complete in ${settings.cacheDir}, and BANTAM_OFFLINE or HF_HUB_OFFLINE forbids to fetch it; unset it, and pull the model once.`,
    );
  }
  // The lock's folder is the first thing that is written.
  writable(() => {
    makeFolder(dirname(cache.lock));
  }, settings);
  return withFileLock(
    cache.lock,
    () => pullLocked(settings, cache, name, options.file),
    (process) => {
      settings.onEvent({ kind: 'wait', process });
    },
  );
}

async function pullLocked(
  settings: HubSettings,
  cache: CachedRepository,
  { repository, revision }: HubName,
  file: string | undefined,
): Promise<PulledModel> {
  const { commit, files } = await listRepository(settings, repository, revision);
  const chosen = chooseFiles(files, file);
  if (chosen === null) {
    throw new BantamError(
      `hf:${repository} has no weights of a CLIP model that Bantam can tell (it has ${files.slice(0, 4).join(', ')}${files.length > 4 ? ', …' : ''}); name another repository.`,
    );
  }
  const fetched: string[] = [];
  const fetchFiles = async (names: readonly string[]): Promise<void> => {
    fetched.push(...(await fetchMissing(settings, cache, { commit, names })));
  };
  await fetchFiles(chosen.small);
  const index = isIndex(chosen.weights);
  if (index) await fetchFiles([chosen.weights]);
  const directory = cache.snapshot(commit);
  await fetchFiles(index ? await partsOf(directory, chosen.weights) : [chosen.weights]);
  await cache.setCommit(revision, commit);
  const weights = join(directory, chosen.weights);
  return { directory, weights, described: chosen.described, commit, fetched };
}

/** Fetches the files that the snapshot lacks, and returns their names. */
async function fetchMissing(
  settings: HubSettings,
  cache: CachedRepository,
  { commit, names }: { commit: string; names: readonly string[] },
): Promise<string[]> {
  const directory = cache.snapshot(commit);
  const missing: { file: string; described: RepositoryFile }[] = [];
  for (const file of names) {
    if (await isFile(join(directory, file))) continue;
    const { repository } = cache;
    missing.push({ file, described: await describeFile(settings, { repository, commit, file }) });
  }
  const total = missing.reduce((sum, { described }) => sum + (described.bytes ?? 0), 0);
  await requireRoom(cache.cacheDir, total);
  let done = 0;
  for (const { file, described } of missing) {
    const { url, bytes, etag } = described;
    const path = cache.blob(etag);
    let own = 0;
    if (!(await isFile(path))) {
      const name = `${cache.repository}/${file}`;
      await download(settings, { url, name, path, bytes, etag }, (count) => {
        own = count;
        settings.onEvent({ kind: 'progress', file, done: done + count, total });
      });
    }
    done += bytes ?? own;
    await cache.link(commit, file, etag);
  }
  return missing.map(({ file }) => file);
}

/** @throws BantamError if the disk has less room than files take. */
async function requireRoom(folder: string, bytes: number): Promise<void> {
  const status = await statfs(folder).catch(() => null);
  if (status === null) return;
  const room = status.bavail * status.bsize;
  if (bytes <= room) return;
  const megabytes = (count: number) => `${Math.ceil(count / 1e6)} MB`;
  throw new BantamError(
    `The model takes ${megabytes(bytes)}, but ${folder} has room for ${megabytes(room)}; free some space, or set HF_HUB_CACHE to another folder.`,
  );
}

function isIndex(file: string): boolean {
  return file.endsWith('.index.json');
}

/** The files that an index names. */
async function partsOf(directory: string, index: string): Promise<string[]> {
  const document = JSON.parse(await readFile(join(directory, index), 'utf8')) as unknown;
  const map = isObject(document) && isObject(document.weight_map) ? document.weight_map : {};
  const parts = [...new Set(Object.values(map).map(String))];
  if (parts.length > 0 && parts.every(isSafePath)) return parts;
  throw new BantamError(
    `${index} of the model names no files; name another repository or revision.`,
  );
}

/**
 * A model that is complete in the cache; null if it is not. No request is sent: a branch is what it
 * was when the model was last fetched.
 */
export async function cachedModel(
  { repository, revision }: HubName,
  options: PullOptions = {},
): Promise<PulledModel | null> {
  const cache = new CachedRepository(hubSettings(options).cacheDir, repository);
  const commit = await cache.commitOf(revision);
  if (commit === null) return null;
  const files = await cache.files(commit);
  const chosen = chooseFiles(files, options.file);
  const directory = cache.snapshot(commit);
  if (chosen === null || !(await isComplete(directory, chosen, files))) return null;
  const weights = join(directory, chosen.weights);
  return { directory, weights, described: chosen.described, commit, fetched: [] };
}

async function isComplete(
  directory: string,
  { weights }: ModelFileList,
  files: readonly string[],
): Promise<boolean> {
  if (!isIndex(weights)) return true;
  const parts = await partsOf(directory, weights);
  return parts.every((part) => files.includes(part));
}

function writable(write: () => void, { cacheDir }: HubSettings): void {
  try {
    write();
  } catch (error) {
    const cause = writeRefusal(error);
    if (cause === undefined) throw error;
    throw new BantamError(
      `The cache ${cacheDir} cannot be written: ${cause}; set HF_HUB_CACHE to another folder.`,
    );
  }
}
