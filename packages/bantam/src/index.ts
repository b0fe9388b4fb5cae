/** Bantam: CLIP from data to deployment. Each layer of docs/architecture.md is exported whole. */
export * from './data/index.js';
export { BantamError, UsageError } from './errors.js';
export * from './eval/index.js';
export * from './losses/index.js';
export * from './machine/index.js';
export * from './models/index.js';
export * from './quickstart/index.js';
export * from './report/index.js';
export * from './text/index.js';
export * from './train/index.js';
