import { BantamError } from '../../base/errors.js';

/** @throws BantamError unless one member of a tower's configuration is a multiple of another. */
export function requireMultiple<Config extends object>(
  config: Config,
  name: keyof Config & string,
  divisorName: keyof Config & string,
  where: 'vision' | 'text',
): void {
  const [value, divisor] = [config[name] as number, config[divisorName] as number];
  if (value % divisor === 0) return;
  throw new BantamError(
    `"${name}" of "${where}" (${value}) must be a multiple of "${divisorName}" (${divisor}).`,
  );
}
