/** Result of {@link setup}. */
export interface Setup {
  readonly libtorch: { readonly version: string; readonly path: string };
  /** How the addon came, e.g. `compiled in 40 s`. */
  readonly addon: string;
}

/**
 * Gets libtorch and the addon as npm's install script does: libtorch from `BANTAM_LIBTORCH`, the
 * user's cache or pip; the addon from the platform's package, the cache or the compiler. Progress
 * goes to standard error.
 *
 * @throws InstallError with one sentence that names the remedy.
 */
export function setup(env: Readonly<Record<string, string | undefined>>): Promise<Setup>;
