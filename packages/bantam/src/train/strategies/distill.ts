import {
  add,
  div,
  exp,
  Linear,
  Module,
  mul,
  tensor,
  TensorBuffer,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { DeepReadonly } from '../../base/readonly.js';
import { atLeast, group, listOf, setting, text, type Group } from '../../base/schema.js';
import {
  featureLoss,
  interactiveLoss,
  relationLoss,
  type PairFeatures,
  type PairwiseOptions,
  type ScaledFeatures,
} from '../../losses/index.js';
import {
  createTeacher,
  encodeTeachers,
  storedTeachers,
  teacherFeatures,
  type Teacher,
} from '../teachers/teacher.js';
import { contrastiveEntries, pairwiseOptions } from './contrastive.js';
import { requireTensor, toUnit } from './features.js';
import { pairStrategy } from './pair.js';
import { createStages, stagesSetting, type Stages, type Weights } from './stages.js';
import {
  defineStrategy,
  type Features,
  type Losses,
  type StepContext,
  type Strategy,
  type StrategyContext,
} from './strategy.js';

/** The losses that compare a student with its teachers. */
const taughtLosses = ['feature', 'relation', 'interactive'] as const;

/** The losses of a student with teachers. */
export const distillationLosses = ['contrastive', ...taughtLosses] as const;

type TaughtLoss = (typeof taughtLosses)[number];
type DistillationLoss = (typeof distillationLosses)[number];

/**
 * Settings of strategies with teachers. The weights are CLIP-KD's (Yang et al. 2023), as
 * {@link featureLoss} measures features.
 */
export const distillationEntries = {
  ...contrastiveEntries('softmax'),
  teachers: setting(listOf(text()), [], 'Model directories of the teachers.'),
  reinforced: setting(
    text(),
    '',
    'Folder of a reinforced data set, in place of teachers; empty: none.',
  ),
  contrastive: setting(atLeast(0), 1, 'Weight of the contrastive loss.'),
  feature: setting(atLeast(0), 4, 'Weight of the feature loss.'),
  relation: setting(atLeast(0), 1, 'Weight of the relation loss.'),
  interactive: setting(atLeast(0), 1, 'Weight of the interactive loss.'),
  teacherScale: setting(
    atLeast(0),
    0,
    "Scale of the teachers' logits in the relation loss; 0: each teacher's own.",
  ),
};

type DistillationSettings = DeepReadonly<v.InferOutput<Group<typeof distillationEntries>>>;

/**
 * CLIP for a student with one or more trained teachers (CLIP-KD, Yang et al. 2023; TinyCLIP, Wu et al.
 * 2023; the average of several teachers as in MobileCLIP, Vasu et al. 2024), with optional stages that
 * have weights of their own.
 */
export const distill = defineStrategy({
  schema: group({
    type: v.literal('distill'),
    ...distillationEntries,
    stages: stagesSetting(distillationLosses),
  }),
  create: (settings, context) =>
    createDistillation(settings, context, {
      name: 'distill',
      stages: createStages('distill', settings, distillationLosses),
    }),
});

/** A student's features in the space of a teacher of another width. */
class Projection extends Module {
  image: Linear;
  text: Linear;

  constructor(inFeatures: number, outFeatures: number, generator: Generator) {
    super();
    this.image = new Linear({ inFeatures, outFeatures, generator });
    this.text = new Linear({ inFeatures, outFeatures, generator });
  }

  forward({ image, text }: PairFeatures): PairFeatures {
    return { image: toUnit(this.image.forward(image)), text: toUnit(this.text.forward(text)) };
  }
}

/** A student's modules beside the model, and the fingerprints of its teachers. */
class StudentModules extends Module {
  /** Their fingerprints. */
  teachers: TensorBuffer;

  constructor(
    teachers: readonly Teacher[],
    /** One for each teacher; null if it has the student's width. */
    public projections: (Projection | null)[],
    public contrastive: Module | null,
  ) {
    super();
    const fingerprints = teachers.map(({ fingerprint }) => fingerprint);
    this.teachers = new TensorBuffer(tensor(fingerprints, { dtype: 'int64' }));
  }

  /** @throws BantamError if a checkpoint is of other teachers. */
  check(teachers: readonly Teacher[]): void {
    const known = this.teachers.toArray();
    for (const [i, { fingerprint, directory }] of teachers.entries()) {
      if (known[i] === fingerprint) continue;
      throw new BantamError(
        `The model in ${directory} is not the teacher that this run started with; restore that one to resume, or start a new run.`,
      );
    }
  }
}

/** Options of {@link createDistillation}. */
interface DistillationOptions {
  /** The strategy's name, for messages. */
  readonly name: string;
  readonly stages: Stages<DistillationLoss>;
}

/**
 * `clip` for a student that also learns from teachers, in the three spaces of CLIP-KD (Yang et al. 2023,
 * 2307.12732): its features, its relations within the batch, and its contrast with the teachers'
 * features. The losses of several teachers are averaged.
 *
 * @throws BantamError if a loss needs a teacher and there is none.
 */
export function createDistillation(
  settings: DistillationSettings,
  context: StrategyContext,
  { name, stages }: DistillationOptions,
): Strategy {
  const pair = pairStrategy(settings, context, { phases: stages.phases });
  const teachers = createTeachers(settings, context, name);
  if (teachers.length === 0 && stages.uses(...taughtLosses)) {
    throw new BantamError(
      `The strategy '${name}' learns from a teacher; name its model directory with --teacher, or a reinforced set with --reinforced, or set the weights ${taughtLosses.join(', ')} to 0.`,
    );
  }
  const { reinforced } = context;
  const { embedDim } = context.model;
  const projections = teachers.map((teacher) =>
    teacher.embedDim === embedDim
      ? null
      : new Projection(embedDim, teacher.embedDim, context.generator),
  );
  const isTaught = (weights: Weights<DistillationLoss>): boolean =>
    taughtLosses.some((loss) => weights[loss] > 0);
  const own = teachers.length === 0 ? null : new StudentModules(teachers, projections, pair.module);
  return {
    ...pair,
    ...(reinforced && { replay: reinforced.replay }),
    module: own ?? pair.module,
    async prepare(preparing) {
      own?.check(teachers);
      if (reinforced !== null) preparing.exclude(reinforced.broken);
      await pair.prepare?.(preparing);
    },
    targets: (batch, { phase }) =>
      isTaught(stages.of(phase)) ? encodeTeachers(teachers, batch) : {},
    losses(features, step) {
      const weights = stages.at(step.progress);
      const { contrastive, ...others } = pair.losses(features, step);
      const student = studentOf(features, step);
      const comparisons = () =>
        teachers.map((teacher, i) => {
          const raw = teacherFeatures(features, i);
          return {
            student: { ...student, ...projections[i]?.forward(student) },
            teacher: {
              image: toUnit(raw.image),
              text: toUnit(raw.text),
              logitScale: settings.teacherScale || teacher.logitScale,
            },
          };
        });
      return {
        ...(contrastive !== undefined && weighted(weights, { contrastive: () => contrastive })),
        ...(isTaught(weights) &&
          weighted(
            weights,
            compare(
              student,
              comparisons(),
              pairwiseOptions(settings.loss, step.samples, step.model.logitScale.device),
            ),
          )),
        ...others,
      };
    },
    collapsed: () => null,
    flops(model, cost) {
      const student = pair.flops(model, cost);
      if (!isTaught(stages.of(cost.phase))) return student;
      return teachers.reduce((sum, teacher) => sum + teacher.flops(cost), student);
    },
  };
}

function createTeachers(
  settings: DistillationSettings,
  { models, reinforced, preprocess }: StrategyContext,
  name: string,
): Teacher[] {
  const directories = settings.teachers;
  if (reinforced !== null) {
    if (directories.length === 0) return storedTeachers(reinforced);
    throw new BantamError(
      `The strategy '${name}' learns from teachers or from a reinforced set that holds their embeddings; leave out --teacher or --reinforced.`,
    );
  }
  if (models.length !== directories.length) {
    throw new RangeError(
      `'${name}' has ${directories.length} teachers, but got ${models.length} models.`,
    );
  }
  return models.map((loaded, i) =>
    createTeacher(loaded, { directory: at(directories, i), preprocess }),
  );
}

function studentOf(features: Features, { model }: StepContext): ScaledFeatures {
  return {
    image: toUnit(requireTensor(features, 'image')),
    text: toUnit(requireTensor(features, 'text')),
    logitScale: exp(model.logitScale),
  };
}

/** A student beside one of its teachers, the student in the teacher's space. */
interface Comparison {
  readonly student: ScaledFeatures;
  readonly teacher: ScaledFeatures;
}

function compare(
  student: ScaledFeatures,
  comparisons: readonly Comparison[],
  { groups, chunk }: PairwiseOptions,
): Record<TaughtLoss, () => Tensor> {
  return {
    feature: () =>
      meanOf(
        comparisons.map(({ student: own, teacher }) =>
          add(featureLoss(own.image, teacher.image), featureLoss(own.text, teacher.text)),
        ),
      ),
    relation: () => {
      const teachers = comparisons.map(({ teacher }) => teacher);
      return relationLoss(student, teachers, { chunk });
    },
    interactive: () =>
      meanOf(
        comparisons.map(({ student: own, teacher }) =>
          interactiveLoss(own, teacher, { groups, chunk }),
        ),
      ),
  };
}

function meanOf(values: readonly Tensor[]): Tensor {
  return div(
    values.reduce((sum, value) => add(sum, value)),
    values.length,
  );
}

/** The losses whose weight is not 0, times their weights. */
export function weighted<Name extends string>(
  weights: Weights<Name>,
  losses: Readonly<Partial<Record<Name, () => Tensor>>>,
): Losses {
  const entries = Object.entries(losses) as [Name, () => Tensor][];
  return Object.fromEntries(
    entries.flatMap(([name, loss]) => {
      const weight: number = weights[name];
      return weight === 0 ? [] : [[name, weight === 1 ? loss() : mul(loss(), weight)]];
    }),
  );
}
