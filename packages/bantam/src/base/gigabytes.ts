/** Bytes as people read them, `1.2 GB`, of 10⁹ bytes each. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
