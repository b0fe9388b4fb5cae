/** `@bantam/torch/setup`: gets libtorch and the addon where npm ran no install script. */
export { setup, type Setup } from '../install/setup.js';
