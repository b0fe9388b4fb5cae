import { at } from '../base/at.js';
import type { MemoryPlan, PlannedPhase, TimePlan, TrainingPlan } from '../train/index.js';
import { formatBytes } from '../base/format-bytes.js';
import { formatDuration, formatTable } from './output.js';

const parts: readonly (readonly [keyof MemoryPlan, string])[] = [
  ['parameters', 'parameters'],
  ['gradients', 'gradients of trainable parameters'],
  ['optimizer', "the optimizer's state"],
  ['average', 'moving average'],
  ['step', 'activations and temporary memory of a step'],
  ['stored', 'features of all images'],
  ['batches', 'batches of images'],
  ['images', 'decoded images kept for later epochs, at most'],
  ['process', 'Node.js, libtorch, worker threads, teachers'],
  ['onDevice', 'on the GPU: parameters, states, a step, teachers'],
  ['total', 'total'],
];

/** The optimizer's groups of parameters, indented below a title. */
export function formatGroups(groups: string): string {
  return `Groups of parameters:\n${groups.replaceAll(/^/gm, '  ')}`;
}

/** A planned training's memory and time, each as a table, and its groups of parameters. */
export function formatPlan({ memory, time, groups }: TrainingPlan): string {
  const tables = [
    formatMemory(memory),
    time === null
      ? 'The run does not fit into memory, so its time was not measured.'
      : `${formatTime(time)}\n\nWaiting for data, validation and saving are not included.`,
    formatGroups(groups),
  ];
  return tables.join('\n\n');
}

function formatMemory(plan: MemoryPlan): string {
  const rows = parts.filter(([part]) => plan[part] > 0);
  return formatTable(
    rows.map(([part, name]) => {
      const isRest = part === 'total' && plan.onDevice > 0;
      return [isRest ? "total of the machine's own memory" : name, formatBytes(plan[part])];
    }),
    { right: [1] },
  );
}

function formatTime(plan: TimePlan): string {
  const several = plan.phases.length > 1;
  const phases = plan.phases.flatMap((phase) => {
    const name = several ? `${phase.name}: ` : '';
    return [
      ...(several ? [[`${name}steps`, String(phase.steps)]] : []),
      [`${name}FLOPs of a step`, formatFlops(phase.flopsPerStep)],
      [`${name}a step${extrapolated(phase, plan)}`, formatSeconds(phase.secondsPerStep)],
    ];
  });
  const rows = [
    ...(plan.spent > 0 ? [['elapsed', formatDuration(plan.spent)]] : []),
    ['steps', String(plan.steps)],
    ['samples', String(plan.samples)],
    ...phases,
    ['samples per second', plan.rate.toPrecision(3)],
    ...(plan.preparation > 0
      ? [['features of all images, before the first step', formatDuration(plan.preparation)]]
      : []),
    [plan.spent > 0 ? 'remaining' : 'total', formatDuration(plan.total)],
  ];
  return formatTable(rows, { right: [1] });
}

/** Names the smaller step from which the time of a long step is extrapolated. */
function extrapolated({ measuredOn }: PlannedPhase, { samplesPerStep }: TimePlan): string {
  return measuredOn < samplesPerStep ? `, extrapolated from ${measuredOn} samples` : '';
}

function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

/** FLOPs for people: `1.2 TFLOP`. */
function formatFlops(flops: number): string {
  const units = ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP'];
  const power = flops < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(flops) / 3));
  return `${(flops / 1000 ** power).toPrecision(3)} ${at(units, power)}`;
}
