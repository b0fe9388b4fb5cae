import { BantamError } from '../../base/errors.js';
import { isSafePath } from './repository.js';

/** A model in a repository of the Hub. */
export interface HubName {
  /** `owner/name` */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

/**
 * Reads `hf:owner/name[@revision]`; null for other names.
 *
 * @throws BantamError if it is written in another way.
 */
export function parseHubName(name: string): HubName | null {
  const [, path] = /^hf:(.*)$/s.exec(name) ?? [];
  if (path === undefined) return null;
  const [, repository, revision = 'main'] = /^([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/.exec(path) ?? [];
  if (repository === undefined || !isSafePath(repository) || !isSafePath(revision)) {
    throw new BantamError(
      `"${name}" is no name of a model on the Hub; write it hf:owner/name or hf:owner/name@revision.`,
    );
  }
  return { repository, revision };
}
