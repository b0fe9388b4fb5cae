/** Three significant digits: `12300`, `123`, `12.3`, `0.0123`; nothing for null. */
export function precise(value: number | null): string {
  if (value === null) return '';
  if (Math.abs(value) >= 100) return String(Number(value.toPrecision(3)));
  return value.toPrecision(3);
}

/** `4.12×` */
export function times(value: number): string {
  return `${precise(value)}×`;
}

/** `151.3` */
export function parameterMillions(count: number): string {
  return (count / 1e6).toFixed(1);
}
