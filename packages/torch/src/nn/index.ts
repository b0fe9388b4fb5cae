export * from './activation.js';
export * from './attention.js';
export * from './conv.js';
export * from './embedding.js';
export * from './fold.js';
export * from './init.js';
export * from './int8-weight.js';
export * from './linear.js';
export * from './mlp.js';
export * from './module.js';
export { narrowWeights } from './narrow-weights.js';
export * from './norm.js';
export {
  normedConv,
  packConvolution,
  packLinears,
  packWeight,
  type PackConvolutionOptions,
} from './pack.js';
export * from './packed-weight.js';
export { Parameter, TensorBuffer, type TensorBufferOptions } from './parameter.js';
export { quantizeLinears } from './quantize.js';
export { formatStructure, structureOf, type Structure } from './structure.js';
export { matchNames, nameMatcher, type NamePattern } from './pattern.js';
