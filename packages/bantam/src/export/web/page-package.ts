import { existsSync } from 'node:fs';
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

/** @throws BantamError if `@bantam/web` is not installed, or its page not built. */
export async function loadPagePackage(): Promise<PagePackage> {
  try {
    const page = (await import(`${packageName}/page`)) as PagePackage;
    if (existsSync(page.pageFolder)) return page;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new BantamError(
      `The page is in the package ${packageName}, which is not installed; run "npm install ${packageName}".`,
    );
  }
  // A checkout, in which only the types were built.
  throw new BantamError(
    `The page of ${packageName} is not built; run "npm run bundle -w ${packageName}".`,
  );
}
