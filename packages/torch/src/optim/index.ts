export * from './adafactor.js';
export * from './adamw.js';
export * from './clip-grad.js';
export * from './ema.js';
export * from './grad-scaler.js';
export * from './groups.js';
export * from './lion.js';
export type { Optimizer, StepOptions } from './optimizer.js';
export * from './schedule.js';
