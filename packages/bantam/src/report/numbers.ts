/** A number of things in at most four characters or so: `950`, `12.3k`, `5.4M`, `5e-4`. */
export function compact(value: number): string {
  const size = Math.abs(value);
  for (const [unit, name] of units) {
    if (size >= unit) return `${trim(value / unit, size / unit < 100 ? 1 : 0)}${name}`;
  }
  if (size !== 0 && size < 0.01) return value.toExponential(1).replace('.0e', 'e');
  return trim(value, size < 1 ? 4 : 2);
}

const units = [
  [1e9, 'B'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const;

function trim(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

/** `45 s`, `5 min 12 s`, `3 h 20 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return joined(`${minutes} min`, whole % 60, 's');
  return joined(`${Math.floor(minutes / 60)} h`, minutes % 60, 'min');
}

function joined(head: string, rest: number, unit: string): string {
  return rest === 0 ? head : `${head} ${rest} ${unit}`;
}
