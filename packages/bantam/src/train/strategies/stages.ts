/** Stages of a training whose losses are weighted differently from stage to stage. */
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { atLeast, group, listOf, positive, setting } from '../../base/schema.js';
import { onePhase, phaseAt, type Phase } from './phases.js';

/** Weights of losses, by the loss's name. */
export type Weights<Name extends string> = Readonly<Record<Name, number>>;

/** The weight of a loss in a stage; null: the strategy's. */
const stageWeight = v.optional(v.nullable(atLeast(0)), null);

/** The settings of a strategy's stages, which weight the losses of these names. */
export function stagesSetting<Name extends string>(names: readonly Name[]) {
  const weights = Object.fromEntries(names.map((name) => [name, stageWeight])) as Record<
    Name,
    typeof stageWeight
  >;
  const stage = group({
    fraction: setting(positive(), 1, 'Fraction of the budget.'),
    lr: setting(positive(), 1, 'Multiplier of the learning rate.'),
    ...weights,
  });
  return setting(
    listOf(stage),
    [],
    `Stages in order, each an object of "fraction" and "lr" and own weights of losses (${names.join(', ')}); without any, the training is one stage.`,
  );
}

/** A part of the training with weights of its own; null: the strategy's. */
type Stage<Name extends string> = { readonly fraction: number; readonly lr: number } & Readonly<
  Record<Name, number | null>
>;

/** Settings of a strategy whose losses are weighted. */
export type StagedSettings<Name extends string> = Weights<Name> & {
  readonly stages: readonly Stage<Name>[];
};

/** The stages of a training. */
export interface Stages<Name extends string> {
  /** One for each stage: each has a whole schedule of the learning rate. */
  readonly phases: readonly Phase[];
  /** The weights in one of {@link phases}. */
  of(phase: Phase): Weights<Name>;
  /** The weights at a fraction of the budget. */
  at(progress: number): Weights<Name>;
  /** True if one of the losses has a weight in any stage. */
  uses(...names: readonly Name[]): boolean;
}

/**
 * The stages that the settings describe.
 *
 * @throws BantamError if their fractions do not add up to 1, or all losses of a stage have the weight 0.
 */
export function createStages<Name extends string>(
  strategy: string,
  settings: StagedSettings<Name>,
  names: readonly Name[],
): Stages<Name> {
  const given: readonly Stage<Name>[] = settings.stages;
  const total = given.reduce((sum, { fraction }) => sum + fraction, 0);
  if (given.length > 0 && Math.abs(total - 1) > 1e-6) {
    throw new BantamError(
      `The fractions of the "stages" of strategy '${strategy}' add up to ${Number(total.toFixed(6))}; they must add up to 1.`,
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
    const { fraction, lr } = stage;
    return [{ ...onePhase, name: `stage ${i + 1}`, fraction, lr }, weights];
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
