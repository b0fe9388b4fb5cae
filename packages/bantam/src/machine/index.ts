/** What this computer is, and how fast it computes. */
export { inspectCpu, type Cpu } from './cpu.js';
export type { Engine } from './runtime.js';
export { inspectMachine, type InspectMachineOptions, type Machine } from './machine.js';
export type { MatrixRate } from './matrix-rate.js';
export { measureModelRate, type ModelRate, type ModelRateOptions } from './model-rate.js';
export { rateOf, type Problem } from './verdicts.js';
