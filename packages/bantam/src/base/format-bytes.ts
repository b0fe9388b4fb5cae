import { at } from './at.js';

/** Bytes as people read them, of 1000 kB each MB: `3.2 GB`, `50 MB`; two digits at least. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  // Gigabytes keep a decimal: it is a tenth of the memory that some machines have.
  const isWhole = power === 0 || value >= (power < 3 ? 10 : 100);
  return `${value.toFixed(isWhole ? 0 : 1)} ${at(units, power)}`;
}
