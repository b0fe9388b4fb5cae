import type { Generator } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Tokenizer } from '../../text/index.js';
import { createModel } from '../clip.js';
import { withChanges, type ModelConfig } from '../config.js';
import { loadModel, saveModel, type LoadModelOptions } from '../io/directory.js';
import { inheritanceRecord } from './inheritance.js';
import { inheritWeights, type Inheritance, type InheritOptions } from './inherit.js';
import { preprocessOf } from '../towers.js';

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
  /** Draws what starts fresh. */
  generator: Generator;
}

/** What {@link inheritModel} wrote. */
export interface InheritedModel extends Inheritance {
  /** The student's. */
  readonly config: ModelConfig;
}

/**
 * {@link inheritWeights} from one model directory to a new one, with the teacher's tokenizer. What was
 * inherited stands in its `bantam.json`. Pictures are prepared as the teacher's where the image
 * towers are of one kind.
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
      `"${name}" of "text" is ${text[name]}, but the teacher's tokenizer, which the student takes over, has ${tokenizer[name]}; leave it out.`,
    );
  }
}
