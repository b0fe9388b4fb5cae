/**
 * Names the settings in which work that was begun differs from work that is asked for, with the
 * values of both: `seed 1, but now seed 2 is asked for`. Undefined if they are equal.
 */
export function describeDifference(
  begun: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): string | undefined {
  const shown = (values: Readonly<Record<string, unknown>>, name: string): string =>
    name in values ? JSON.stringify(values[name]) : 'not set';
  const names = [...new Set([...Object.keys(begun), ...Object.keys(wanted)])];
  const differing = names.filter((name) => shown(begun, name) !== shown(wanted, name));
  if (differing.length === 0) return undefined;
  const list = (values: Readonly<Record<string, unknown>>): string =>
    differing.map((name) => `${name} ${shown(values, name)}`).join(', ');
  return `${list(begun)}, but now ${list(wanted)} is asked for`;
}
