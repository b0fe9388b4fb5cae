import { BantamError } from '../../base/errors.js';
import { atLeast, optional, positive, type Field, type Fields } from '../../base/fields.js';
import { onePhase, phaseAt, type Phase } from './phases.js';

/** Factors of losses, by the loss's name. */
export type Weights<Name extends string> = Readonly<Record<Name, number>>;

/** When a stage's factors hold. */
export interface StageSpan {
  /** Its share of the budget. */
  readonly share: number;
  /** Factor of the learning rate. */
  readonly lr: number;
}

/** A part of the training with factors of its own; null: the strategy's. */
export type StageSettings<Name extends string> = StageSpan & Readonly<Record<Name, number | null>>;

/** Settings of a strategy whose losses are weighed, and may be weighed otherwise from stage to stage. */
export type StagedSettings<Name extends string> = Weights<Name> & {
  /** Without any, the training is one stage. */
  readonly stages: readonly StageSettings<Name>[];
};

export const stageSpanFields: Fields<StageSpan> = { share: positive(1), lr: positive(1) };

/** A factor of a loss in a stage. */
export const stageWeight: Field<number | null> = optional(atLeast(0));

/** The stages of a training. */
export interface Stages<Name extends string> {
  /** One for each stage: each has a whole schedule of the learning rate. */
  readonly phases: readonly Phase[];
  /** The factors in one of {@link phases}. */
  of(phase: Phase): Weights<Name>;
  /** The factors at a share of the budget. */
  at(progress: number): Weights<Name>;
  /** Whether a loss counts in any stage. */
  uses(...names: readonly Name[]): boolean;
}

/**
 * The stages that the settings describe.
 *
 * @throws BantamError where their shares do not add up to 1, or a stage has nothing to learn from.
 */
export function createStages<Name extends string>(
  strategy: string,
  settings: StagedSettings<Name>,
  names: readonly Name[],
): Stages<Name> {
  const given = settings.stages;
  const total = given.reduce((sum, { share }) => sum + share, 0);
  if (given.length > 0 && Math.abs(total - 1) > 1e-6) {
    throw new BantamError(
      `The shares of the "stages" of strategy '${strategy}' add up to ${Number(total.toFixed(6))}; they must add up to 1.`,
    );
  }
  const stages = given.length === 0 ? [null] : given;
  const usual: Weights<Name> = settings;
  const pairs = stages.map((stage, i): [Phase, Weights<Name>] => {
    const own: Readonly<Record<Name, number | null>> | null = stage;
    const weights = Object.fromEntries(
      names.map((name) => [name, own?.[name] ?? usual[name]]),
    ) as Weights<Name>;
    if (names.every((name) => weights[name] === 0)) {
      throw new BantamError(
        `In stage ${i + 1} of strategy '${strategy}' every loss has the weight 0; give one of ${names.join(', ')} a weight.`,
      );
    }
    if (stage === null) return [onePhase, weights];
    const { share, lr } = stage;
    return [{ ...onePhase, name: `stage ${i + 1}`, share, lr }, weights];
  });
  const weights = new Map(pairs);
  const phases = [...weights.keys()];
  const of = (phase: Phase): Weights<Name> => {
    const found = weights.get(phase);
    if (found === undefined) throw new RangeError(`'${strategy}' has no phase '${phase.name}'.`);
    return found;
  };
  return {
    phases,
    of,
    at: (progress) => of(phaseAt(phases, progress).phase),
    uses: (...wanted) => wanted.some((name) => pairs.some(([, own]) => own[name] > 0)),
  };
}
