import { randomUUID } from 'node:crypto';
import { copyFile, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { makeFolder } from '../../base/make-folder.js';
import { isFile } from '../../base/path-kind.js';

/**
 * A repository in the cache, laid out as huggingface_hub does, so that both use each other's files:
 * `blobs/ETAG`, `refs/REVISION` (a file with the commit), and `snapshots/COMMIT/FILE` (links to blobs).
 */
export class CachedRepository {
  readonly folder: string;

  constructor(
    readonly cacheDir: string,
    /** `owner/name` */
    readonly repository: string,
  ) {
    this.folder = join(cacheDir, folderName(repository));
  }

  blob(etag: string): string {
    return join(this.folder, 'blobs', etag);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** File of the repository's lock. */
  get lock(): string {
    return join(this.cacheDir, '.locks', folderName(this.repository), 'bantam.lock');
  }

  /** The commit of a revision; null: it was never fetched. */
  async commitOf(revision: string): Promise<string | null> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.folder, 'refs', revision), 'utf8').catch(() => '');
    return isCommit(text.trim()) ? text.trim() : null;
  }

  /** Files of a snapshot whose blobs are there. */
  async files(commit: string): Promise<string[]> {
    const root = this.snapshot(commit);
    const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
    const names = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
    const found = await Promise.all(names.map((name) => isFile(name)));
    return names
      .filter((_, i) => found[i])
      .map((name) => relative(root, name).replaceAll('\\', '/'));
  }

  /** Gives a snapshot a file whose blob is there. */
  async link(commit: string, file: string, etag: string): Promise<void> {
    const path = join(this.snapshot(commit), file);
    if (await isFile(path)) return;
    makeFolder(dirname(path));
    const draft = `${path}.${randomUUID().slice(0, 8)}.tmp`;
    try {
      await symlink(relative(dirname(path), this.blob(etag)), draft);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL'].includes(code)) throw error;
      // A file system without links.
      await copyFile(this.blob(etag), draft);
    }
    await rename(draft, path);
  }

  /** Notes the commit of a branch or tag. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.folder, 'refs', revision);
    if ((await readFile(path, 'utf8').catch(() => '')) === commit) return;
    makeFolder(dirname(path));
    const draft = `${path}.${randomUUID().slice(0, 8)}.tmp`;
    try {
      await writeFile(draft, commit);
      await rename(draft, path);
    } finally {
      await rm(draft, { force: true });
    }
  }
}

function folderName(repository: string): string {
  return `models--${repository.replaceAll('/', '--')}`;
}

/** True for the full hash of a commit. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
