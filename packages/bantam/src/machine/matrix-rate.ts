import { setImmediate } from 'node:timers/promises';
import { Generator, matmul, rand, type FloatDType } from '@bantam/torch';

/** How fast this machine multiplies matrices of one type. */
export interface MatrixRate {
  readonly dtype: FloatDType;
  /** The product is of two `size`×`size` matrices. */
  readonly size: number;
  /** 10⁹ floating-point operations a second, two per multiply-add; median over the products. */
  readonly gflops: number;
}

/**
 * Measures the product of two square matrices for about `seconds`, after one that warms up: the
 * median time t of a product gives 2·size³ / t.
 */
export async function measureMatrixRate(
  dtype: FloatDType,
  { size = 2048, seconds = 1 }: { size?: number; seconds?: number } = {},
): Promise<MatrixRate> {
  const generator = new Generator({ seed: 1 });
  using a = rand([size, size], generator, { dtype });
  using b = rand([size, size], generator, { dtype });
  matmul(a, b).dispose();
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (times.length === 0 || performance.now() < end) {
    const start = performance.now();
    matmul(a, b).dispose();
    times.push((performance.now() - start) / 1000);
    await setImmediate();
  }
  const median = times.sort((x, y) => x - y)[times.length >> 1] ?? Infinity;
  return { dtype, size, gflops: (2 * size ** 3) / median / 1e9 };
}
