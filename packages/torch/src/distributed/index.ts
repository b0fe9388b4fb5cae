/** @bantam/torch/distributed: processes that compute together, over c10d and Gloo. */
export {
  RENDEZVOUS_VARIABLE,
  worldFromEnvironment,
  type Rendezvous,
  type WorldEnvironment,
} from './environment.js';
export { GroupError } from './failure.js';
export { GradientSums, sumGradients } from './gradient-sums.js';
export { joinGroup, ProcessGroup, type AllReduceOptions, type JoinOptions } from './group.js';
export { broadcastAll, gatherTensors } from './copies.js';
