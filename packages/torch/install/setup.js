/** `@bantam/torch/setup`: gets libtorch and the addon where npm ran no install script. */
export { main as setup } from './main.js';
