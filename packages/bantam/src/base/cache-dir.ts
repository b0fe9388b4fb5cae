import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The folder for data that Bantam can make again: `BANTAM_CACHE`, else `bantam` in
 * `XDG_CACHE_HOME`, else `~/.cache/bantam`.
 */
export function cacheDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (env.BANTAM_CACHE) return env.BANTAM_CACHE;
  return join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'bantam');
}
