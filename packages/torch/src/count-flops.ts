import { native } from './native.js';

/**
 * Floating-point operations of the matrix products and convolutions that `body` runs, 2 per
 * multiply-add; backward passes count too. On the device `meta` nothing is computed, so that a large
 * model is counted at once.
 */
export function countFlops(body: () => void): number {
  native.startCounting();
  try {
    body();
  } catch (error) {
    native.stopCounting();
    throw error;
  }
  return native.stopCounting();
}
