export * from './adamw.js';
export * from './clip-grad.js';
export * from './ema.js';
export * from './groups.js';
export * from './schedule.js';
