// `Disposable` and `Symbol.dispose` in the declarations, whatever `lib` a project has.
/// <reference lib="esnext.disposable" preserve="true" />
/** @bantam/torch: libtorch for TypeScript. */
export { syncFolder, writeFileAtomic } from './atomic-file.js';
export * from './autograd.js';
export { checkpoint, isRerunning } from './checkpoint.js';
export { TorchError } from './errors.js';
export { at, dims } from './at.js';
export {
  cudaFacts,
  unusableGpus,
  type CudaFacts,
  type CudaProblem,
  type NvidiaGpu,
} from './cuda.js';
export * from './device.js';
export * from './dtype.js';
export * from './machine.js';
export { mapFile, mapTensor, viewRegion, type FileRegion } from './mapped-file.js';
export * from './profiling.js';
export { nearest } from './nearest.js';
export * from './nn/index.js';
export type { Argument } from './argument.js';
export { Operator } from './operator.js';
export * from './ops/index.js';
export * from './optim/index.js';
export * from './random.js';
export { Program } from './program.js';
export {
  isRecording,
  record,
  Recording,
  type RecordedArgument,
  type RecordedCall,
  type RecordedTensor,
} from './record.js';
export * from './safetensors.js';
export { keep, scope } from './scope.js';
export * from './tensor.js';
