/** This computer, and how fast it computes. */
export { inspectCpu, type Cpu } from './cpu.js';
export {
  inspectMachine,
  rateOf,
  type InspectMachineOptions,
  type Machine,
  type Problem,
} from './machine.js';
export { measureModelRate, type ModelRate, type ModelRateOptions } from './model-rate.js';
export {
  measureMatrixRate,
  type DeviceFailure,
  type MatrixRate,
  type MatrixRateOptions,
  type Runtime,
} from './runtime.js';
