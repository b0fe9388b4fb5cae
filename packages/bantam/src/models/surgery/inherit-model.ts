import type { Generator } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Tokenizer } from '../../text/index.js';
import { createModel } from '../clip.js';
import { withChanges, type ModelConfig } from '../config.js';
import { loadModel, saveModel, type LoadModelOptions } from '../io/directory.js';
import { preprocessOf } from '../towers.js';
import {
  inheritWeights,
  isOfLogits,
  type Inheritance,
  type InheritedParameter,
  type InheritOptions,
} from './inherit.js';

/** A part of a model whose parameters all have one origin. */
export interface InheritedPart {
  /** Common prefix of their names, up to a dot, as `freeze` takes it. */
  readonly name: string;
  readonly start: InheritedParameter['start'];
  /** Number of elements. */
  readonly size: number;
}

/** The largest parts of a model whose parameters all have one origin, in their order. */
export function inheritedParts({ parameters }: Pick<Inheritance, 'parameters'>): InheritedPart[] {
  return partsBelow(parameters, 1);
}

function partsBelow(parameters: readonly InheritedParameter[], depth: number): InheritedPart[] {
  const groups = new Map<string, InheritedParameter[]>();
  for (const parameter of parameters) {
    const name = parameter.name.split('.').slice(0, depth).join('.');
    groups.set(name, [...(groups.get(name) ?? []), parameter]);
  }
  return [...groups].flatMap(([name, group]) => {
    const [start, ...others] = new Set(group.map((parameter) => parameter.start));
    if (start === undefined) return [];
    if (others.length > 0) return partsBelow(group, depth + 1);
    return [{ name, start, size: group.reduce((sum, { size }) => sum + size, 0) }];
  });
}

/** Origin of a model's weights in its `bantam.json`. */
export interface InheritanceRecord {
  /** The teacher's model directory. */
  readonly from: string;
  readonly method: Inheritance['method'];
  /** Parts of the model that are the teacher's. */
  readonly inherited: readonly string[];
  /** Parts that are slices of the teacher's. */
  readonly sliced: readonly string[];
  readonly fresh: readonly string[];
}

/** The record of an inheritance from a teacher's directory, for `bantam.json`. */
export function inheritanceRecord(inheritance: Inheritance, from: string): InheritanceRecord {
  const parts = inheritedParts(inheritance);
  const named = (start: InheritedParameter['start']) =>
    parts.filter((part) => part.start === start).map(({ name }) => name);
  return {
    from,
    method: inheritance.method,
    inherited: named('inherited'),
    sliced: named('sliced'),
    fresh: named('fresh'),
  };
}

/**
 * Patterns of the parameters to freeze so that only fresh and sliced ones learn: the inherited parts
 * of the towers. Null if the model with this `bantam.json` inherited nothing.
 */
export function inheritedPatterns(info: Readonly<Record<string, unknown>>): string[] | null {
  const { inheritance } = info;
  if (typeof inheritance !== 'object' || inheritance === null) return null;
  const inherited = 'inherited' in inheritance ? inheritance.inherited : null;
  if (!Array.isArray(inherited)) return null;
  return inherited.filter((name) => typeof name === 'string').filter((name) => !isOfLogits(name));
}

/** Options of {@link inheritModel}. */
export interface InheritModelOptions extends InheritOptions, Pick<LoadModelOptions, 'merges'> {
  /** The teacher's model directory. */
  teacher: string;
  /** The student's configuration, but for its vocabulary, which is the teacher's. */
  model: ModelConfig;
  /** Changes the configuration once it has the teacher's vocabulary and context. */
  adapt?: (config: ModelConfig) => ModelConfig;
  /** The model directory to write. */
  out: string;
  /** Initialises fresh parameters. */
  generator: Generator;
}

/** Result of {@link inheritModel}. */
export interface InheritedModel extends Inheritance {
  /** The student's. */
  readonly config: ModelConfig;
}

/**
 * {@link inheritWeights} from one model directory to a new one, with the teacher's tokenizer. Its
 * `bantam.json` records the inheritance. The preprocessing is the teacher's if the image towers are
 * of one kind.
 *
 * @throws BantamError as {@link loadModel}, {@link inheritWeights} and {@link saveModel} do, and where
 * the tokenizer does not fit the student.
 */
export async function inheritModel(options: InheritModelOptions): Promise<InheritedModel> {
  const { teacher, out, merges, method, generator, adapt } = options;
  const loaded = await loadModel(teacher, merges === undefined ? {} : { merges });
  using from = loaded.model;
  const asTeacher = withVocabularyOf(options.model, loaded.config);
  const config = adapt?.(asTeacher) ?? asTeacher;
  const { tokenizer } = loaded;
  requireVocabulary(config, tokenizer);
  using into = createModel(config, { generator });
  const inheritance = inheritWeights(from, into, { method });
  const own = preprocessOf(config);
  const sameKind = config.vision.type === loaded.config.vision.type;
  const preprocess = sameKind ? { ...loaded.preprocess, size: own.size } : own;
  const info = { inheritance: inheritanceRecord(inheritance, teacher) };
  await saveModel(out, { config, model: into, tokenizer, preprocess, info });
  return { ...inheritance, config };
}

/** A configuration whose text tower reads the ids of another model's tokenizer. */
function withVocabularyOf(config: ModelConfig, { text }: ModelConfig): ModelConfig {
  const { contextLength, vocabSize, hfTokenizerName, tokenizerKwargs } = text;
  const special = (['padId', 'eosId'] as const).flatMap((name) =>
    name in config.text && name in text ? [[name, Reflect.get(text, name)] as const] : [],
  );
  return withChanges(config, {
    text: {
      contextLength,
      vocabSize,
      hfTokenizerName,
      tokenizerKwargs,
      ...Object.fromEntries(special),
    },
  });
}

function requireVocabulary({ text }: ModelConfig, tokenizer: Tokenizer): void {
  for (const name of ['vocabSize', 'contextLength'] as const) {
    if (text[name] >= tokenizer[name]) continue;
    throw new BantamError(
      `"${name}" of "text" is ${text[name]}, but the teacher's tokenizer, which the student takes over, has ${tokenizer[name]}; do not set it.`,
    );
  }
}
