import { BantamError } from '../../base/errors.js';

/** The used part of `@bantam/web/page`. */
export interface PagePackage {
  /** Folder of the page: HTML, CSS, scripts. */
  readonly pageFolder: string;
  /** Files of ONNX Runtime that the page loads. */
  readonly runtimeFiles: readonly string[];
  /** HTTP headers that the page wants. */
  readonly pageHeaders: Readonly<Record<string, string>>;
}

/** Not known to the compiler: `@bantam/web` is made of parts of this package, not the other way round. */
const packageName = '@bantam/web';

/** @throws BantamError if `@bantam/web` is not installed. */
export async function loadPagePackage(): Promise<PagePackage> {
  try {
    return (await import(`${packageName}/page`)) as PagePackage;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new BantamError(
      `The page is in the package ${packageName}, which is not installed; run "npm install ${packageName}".`,
    );
  }
}
