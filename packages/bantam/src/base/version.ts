import { createRequire } from 'node:module';

/** The version of Bantam that runs. */
export const { version } = createRequire(import.meta.url)('../../package.json') as {
  readonly version: string;
};
