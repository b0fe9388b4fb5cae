import type { MemoryPlan, PlannedPhase, TimePlan, TrainingPlan } from '../train/index.js';
import { formatBytes, formatDuration, formatTable } from './output.js';

const parts: readonly (readonly [keyof MemoryPlan, string])[] = [
  ['parameters', 'parameters'],
  ['gradients', 'gradients of those that learn'],
  ['optimizer', "the optimizer's state"],
  ['average', 'moving average'],
  ['step', 'activations and what a step needs besides'],
  ['stored', 'features of all images'],
  ['batches', 'batches of images'],
  ['images', 'decoded images for later epochs, at most'],
  ['process', 'Node.js, libtorch, worker threads, teachers'],
  ['total', 'in all'],
];

/** A planned training's memory and time, each as a table. */
export function formatPlan({ memory, time }: TrainingPlan): string {
  const tables = [
    formatMemory(memory),
    time === null
      ? 'As this does not fit the memory, no step of it was measured.'
      : `${formatTime(time)}\n\nWaiting for data, validation and saving come on top of this time.`,
  ];
  return tables.join('\n\n');
}

function formatMemory(plan: MemoryPlan): string {
  const rows = parts.filter(([part]) => plan[part] > 0);
  return formatTable(
    rows.map(([part, what]) => [what, formatBytes(plan[part])]),
    { right: [1] },
  );
}

function formatTime(plan: TimePlan): string {
  const several = plan.phases.length > 1;
  const phases = plan.phases.flatMap((phase) => {
    const name = several ? `${phase.name}: ` : '';
    return [
      ...(several ? [[`${name}steps`, String(phase.steps)]] : []),
      [`${name}FLOPs of a step`, formatOperations(phase.flopsPerStep)],
      [`${name}a step${continued(phase, plan)}`, formatSeconds(phase.secondsPerStep)],
    ];
  });
  const rows = [
    ...(plan.spent > 0 ? [['trained so far', formatDuration(plan.spent)]] : []),
    ['steps', String(plan.steps)],
    ['samples', String(plan.samples)],
    ...phases,
    ['samples per second', plan.rate.toPrecision(3)],
    ...(plan.preparation > 0
      ? [['features of all images, before the first step', formatDuration(plan.preparation)]]
      : []),
    [plan.spent > 0 ? 'what remains, in all' : 'in all', formatDuration(plan.total)],
  ];
  return formatTable(rows, { right: [1] });
}

/** Where a step was too long to be measured, from what its time was continued. */
function continued({ measuredOn }: PlannedPhase, { samplesPerStep }: TimePlan): string {
  return measuredOn < samplesPerStep ? `, continued from ${measuredOn} samples` : '';
}

function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

/** Operations as people read them: `1.2 TFLOP`. */
function formatOperations(flops: number): string {
  const units = ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP'];
  const power = flops < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(flops) / 3));
  return `${(flops / 1000 ** power).toPrecision(3)} ${units[power] ?? ''}`;
}
