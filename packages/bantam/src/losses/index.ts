export { clipLoss } from './clip-loss.js';
