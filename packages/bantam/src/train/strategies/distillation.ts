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
import { BantamError } from '../../base/errors.js';
import { atLeast, listOf, text, type Fields } from '../../base/fields.js';
import {
  featureLoss,
  interactiveLoss,
  relationLoss,
  type PairFeatures,
  type ScaledFeatures,
} from '../../losses/index.js';
import type { Features, Losses, LossContext, Strategy, StrategyOptions } from './strategy.js';
import { contrastiveFields, type ContrastiveSettings } from './contrastive.js';
import { captionGroups, toUnit } from './features.js';
import { pairStrategy, present } from './pair.js';
import { stageSpanFields, stageWeight, type Stages, type Weights } from './stages.js';
import { storedTeachers } from '../teachers/stored-teachers.js';
import {
  createTeacher,
  encodeTeachers,
  teacherFeatures,
  type Teacher,
} from '../teachers/teacher.js';

/** The losses of a student with teachers. */
export type DistillationLoss = 'contrastive' | 'feature' | 'relation' | 'interactive';

/** Those that need a teacher. */
const taught = ['feature', 'relation', 'interactive'] as const;

export const distillationLosses: readonly DistillationLoss[] = ['contrastive', ...taught];

/** The fields of a stage that weighs these losses. */
export const distillationStageFields = {
  ...stageSpanFields,
  contrastive: stageWeight,
  feature: stageWeight,
  relation: stageWeight,
  interactive: stageWeight,
};

/** Settings of {@link distillation}; the factors are those of the losses of the same names. */
export interface DistillationSettings extends ContrastiveSettings, Weights<DistillationLoss> {
  /** Model directories of the teachers. */
  readonly teachers: readonly string[];
  /** Folder of a reinforced set, in place of teachers; empty: none. */
  readonly reinforced: string;
  /** The scale of the teachers' logits in the relation loss; 0: each teacher's own. */
  readonly teacherScale: number;
}

/** The factors of CLIP-KD (Yang et al. 2023), as {@link featureLoss} measures features. */
export const distillationFields: Fields<DistillationSettings> = {
  ...contrastiveFields(),
  teachers: listOf(text()),
  reinforced: text(''),
  contrastive: atLeast(0, 1),
  feature: atLeast(0, 4),
  relation: atLeast(0, 1),
  interactive: atLeast(0, 1),
  teacherScale: atLeast(0, 0),
};

/** Which models a strategy with these settings loads. */
export function teachersOf({ teachers }: DistillationSettings): readonly string[] {
  return teachers;
}

/** Which reinforced set a strategy with these settings learns from. */
export function reinforcedOf({ reinforced }: DistillationSettings): string {
  return reinforced;
}

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

/** What a student's strategy learns beside the model, and which teachers it began with. */
class StudentModules extends Module {
  /** Their fingerprints. */
  teachers: TensorBuffer;

  constructor(
    teachers: readonly Teacher[],
    /** One for each teacher; null where it has the student's width. */
    public projections: (Projection | null)[],
    public contrastive: Module | null,
  ) {
    super();
    const fingerprints = teachers.map(({ fingerprint }) => fingerprint);
    this.teachers = new TensorBuffer(tensor(fingerprints, { dtype: 'int64' }));
  }

  /** @throws BantamError where a checkpoint is of other teachers. */
  check(teachers: readonly Teacher[]): void {
    const known = this.teachers.toArray();
    for (const [i, { fingerprint, directory }] of teachers.entries()) {
      if (known[i] === fingerprint) continue;
      throw new BantamError(
        `What is in ${directory} is not the teacher that this run began with; put that one back to go on, or start a new run.`,
      );
    }
  }
}

/** Options of {@link distillation}. */
export interface DistillationOptions {
  /** The strategy's name, for messages. */
  readonly name: string;
  readonly stages: Stages<DistillationLoss>;
}

/**
 * `clip` for a student that also learns from teachers, in the three spaces of CLIP-KD (Yang et al. 2023,
 * 2307.12732): its features, its relations within the batch, and its contrast with the teachers'
 * features. What several teachers have to say is averaged.
 *
 * @throws BantamError where a loss needs a teacher and there is none.
 */
export function distillation(
  settings: DistillationSettings,
  options: StrategyOptions,
  { name, stages }: DistillationOptions,
): Strategy {
  const pair = pairStrategy(settings, options, { phases: stages.phases });
  const teachers = createTeachers(settings, options, name);
  if (teachers.length === 0 && stages.uses(...taught)) {
    throw new BantamError(
      `The strategy '${name}' learns from a teacher; name its model directory with --teacher, or a reinforced set with --reinforced, or set the weights ${taught.join(', ')} to 0.`,
    );
  }
  const { reinforced } = options;
  const { embedDim } = options.model;
  const projections = teachers.map((teacher) =>
    teacher.embedDim === embedDim
      ? null
      : new Projection(embedDim, teacher.embedDim, options.generator),
  );
  const isTaught = (weights: Weights<DistillationLoss>): boolean =>
    taught.some((loss) => weights[loss] > 0);
  const own = teachers.length === 0 ? null : new StudentModules(teachers, projections, pair.module);
  return {
    ...pair,
    ...(reinforced && { replay: reinforced.replay }),
    module: own ?? pair.module,
    async prepare(context) {
      own?.check(teachers);
      if (reinforced !== null) context.exclude(reinforced.broken);
      await pair.prepare?.(context);
    },
    targets: (batch, { phase }) =>
      isTaught(stages.of(phase)) ? encodeTeachers(teachers, batch) : {},
    losses(features, context) {
      const weights = stages.at(context.progress);
      const { contrastive, ...others } = pair.losses(features, context);
      const student = studentOf(features, context);
      const lessons = () =>
        teachers.map((teacher, place) => {
          const raw = teacherFeatures(features, place);
          return {
            student: { ...student, ...projections[place]?.forward(student) },
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
          weighted(weights, taughtLosses(student, lessons(), { settings, context }))),
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
  { models, reinforced, preprocess }: StrategyOptions,
  name: string,
): Teacher[] {
  const directories = teachersOf(settings);
  if (reinforced !== null) {
    if (directories.length === 0) return storedTeachers(reinforced);
    throw new BantamError(
      `The strategy '${name}' learns from teachers or from a reinforced set that holds what they said; leave out --teacher or --reinforced.`,
    );
  }
  if (models.length !== directories.length) {
    throw new RangeError(
      `'${name}' has ${directories.length} teachers, but got ${models.length} models.`,
    );
  }
  return models.map((loaded, i) =>
    createTeacher(loaded, { directory: directories[i] ?? '', preprocess }),
  );
}

function studentOf(features: Features, { model }: LossContext): ScaledFeatures {
  return {
    image: toUnit(present(features, 'image')),
    text: toUnit(present(features, 'text')),
    logitScale: exp(model.logitScale),
  };
}

/** A student beside one of its teachers, the student in the teacher's space. */
interface Lesson {
  readonly student: ScaledFeatures;
  readonly teacher: ScaledFeatures;
}

function taughtLosses(
  student: ScaledFeatures,
  lessons: readonly Lesson[],
  {
    settings: { duplicates, lossChunk },
    context,
  }: { settings: DistillationSettings; context: LossContext },
): Record<(typeof taught)[number], () => Tensor> {
  const chunk = lossChunk === 0 ? undefined : lossChunk;
  const groups = duplicates === 'positives' ? captionGroups(context.samples) : undefined;
  return {
    feature: () =>
      meanOf(
        lessons.map(({ student: own, teacher }) =>
          add(featureLoss(own.image, teacher.image), featureLoss(own.text, teacher.text)),
        ),
      ),
    relation: () => {
      const teachers = lessons.map(({ teacher }) => teacher);
      return relationLoss(student, teachers, { chunk });
    },
    interactive: () =>
      meanOf(
        lessons.map(({ student: own, teacher }) =>
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

/** The losses that count, times their factors. */
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
