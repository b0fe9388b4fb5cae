import type { MemoryPlan } from '../train/index.js';
import { formatBytes, formatTable } from './output.js';

const parts: readonly (readonly [keyof MemoryPlan, string])[] = [
  ['parameters', 'parameters'],
  ['gradients', 'gradients of those that learn'],
  ['optimizer', "the optimizer's state"],
  ['average', 'moving average'],
  ['step', 'activations and what a step needs besides'],
  ['batches', 'batches of pictures'],
  ['pictures', 'decoded pictures for later epochs, at most'],
  ['process', 'Node.js, libtorch, worker threads, teachers'],
  ['total', 'in all'],
];

/** A planned training's memory as a table. */
export function formatMemoryPlan(plan: MemoryPlan): string {
  const rows = parts.filter(([part]) => plan[part] > 0);
  return formatTable(
    rows.map(([part, what]) => [what, formatBytes(plan[part])]),
    { right: [1] },
  );
}
