import type { Budget, Spent } from '../config/budget.js';

/** Cost of a step of a phase. */
export interface PhaseCost {
  /** The phase's name. */
  readonly name: string;
  /** Its fraction of the budget. */
  readonly fraction: number;
  /** FLOPs of a step. */
  readonly flopsPerStep: number;
  /** Seconds of a step. */
  readonly secondsPerStep: number;
  /** Samples of the step that was measured; fewer than it has if it was continued from a smaller one. */
  readonly measuredOn: number;
}

/** The measured costs of a training. */
export interface TimeCosts {
  /** Samples of a step of the optimizer. */
  readonly samplesPerStep: number;
  readonly phases: readonly PhaseCost[];
  /** Seconds of the pass over the data before the first step; 0: there is none. */
  readonly preparation: number;
  /** Resources that a run that resumes has used. */
  readonly spent: Spent;
}

/** The steps of a phase that are still to be taken. */
export interface PlannedPhase extends PhaseCost {
  readonly steps: number;
  readonly samples: number;
  readonly seconds: number;
}

/** Work that a planned time leaves out. */
export const leftOut = ['data', 'validation', 'saving'] as const;

/** Predicted duration of a training. */
export interface TimePlan {
  readonly samplesPerStep: number;
  /** Steps of the optimizer that remain. */
  readonly steps: number;
  readonly samples: number;
  /** FLOPs of the steps. */
  readonly flops: number;
  /** Seconds of the pass over the data before them. */
  readonly preparation: number;
  /** Seconds of the steps. */
  readonly training: number;
  /** Seconds from now to the end. */
  readonly total: number;
  /** Seconds that a run that resumes has trained for already. */
  readonly spent: number;
  /** Samples per second of the steps. */
  readonly rate: number;
  readonly phases: readonly PlannedPhase[];
  /** Time that comes on top: waiting for data, validation, saving. */
  readonly leftOut: typeof leftOut;
}

/** Lays a budget out in steps, as the trainer takes them: each phase ends with the first step that uses its fraction. */
export function planTime(budget: Budget, costs: TimeCosts): TimePlan {
  const { samplesPerStep, preparation, spent } = costs;
  let used = spent[budget.unit];
  let end = 0;
  const phases = costs.phases.map((phase, i): PlannedPhase => {
    end = i === costs.phases.length - 1 ? 1 : end + phase.fraction;
    const { flopsPerStep, secondsPerStep } = phase;
    const perStep = { seconds: secondsPerStep, samples: samplesPerStep, flops: flopsPerStep };
    const cost = perStep[budget.unit];
    const steps = stepsTo(end * budget.amount, { used, cost });
    used += steps * cost;
    return { ...phase, steps, samples: steps * samplesPerStep, seconds: steps * secondsPerStep };
  });
  const sum = (part: (phase: PlannedPhase) => number) =>
    phases.reduce((total, phase) => total + part(phase), 0);
  const [samples, training] = [sum((phase) => phase.samples), sum((phase) => phase.seconds)];
  return {
    samplesPerStep,
    steps: sum(({ steps }) => steps),
    samples,
    flops: sum(({ steps, flopsPerStep }) => steps * flopsPerStep),
    preparation,
    training,
    total: preparation + training,
    spent: spent.seconds,
    rate: training > 0 ? samples / training : 0,
    phases,
    leftOut,
  };
}

/** Steps until what is used reaches an amount; a billionth of a step more or less is rounding. */
function stepsTo(amount: number, { used, cost }: { used: number; cost: number }): number {
  return Math.max(0, Math.ceil((amount - used) / cost - 1e-9));
}

/**
 * The largest budget of whole steps, in samples of the whole run, whose time is at most `seconds`
 * from now; 0 if not even one more step fits.
 */
export function samplesWithin(seconds: number, costs: TimeCosts): number {
  const { samplesPerStep, spent } = costs;
  const taken = spent.samples / samplesPerStep;
  const fits = (steps: number): boolean => {
    const amount = (taken + steps) * samplesPerStep;
    return planTime({ unit: 'samples', amount }, costs).total <= seconds;
  };
  if (!fits(1)) return 0;
  let [most, tooMany] = [1, 2];
  while (fits(tooMany)) [most, tooMany] = [tooMany, 2 * tooMany];
  while (tooMany - most > 1) {
    const middle = Math.floor((most + tooMany) / 2);
    if (fits(middle)) most = middle;
    else tooMany = middle;
  }
  return spent.samples + most * samplesPerStep;
}
