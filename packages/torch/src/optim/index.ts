export * from './adafactor.js';
export * from './adamw.js';
export * from './clip-grad.js';
export * from './ema.js';
export * from './groups.js';
export * from './lion.js';
export type { Optimizer } from './optimizer.js';
export * from './schedule.js';
