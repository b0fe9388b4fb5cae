import type { Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { tokenizerOf, type LoadedModel } from '../io/directory.js';
import { configDifference } from '../io/formats/format.js';
import { isTextTransformer, readsPadding } from '../towers/text/text-transformer.js';

/** A model with its name, for messages. */
export interface NamedModel {
  readonly name: string;
  readonly loaded: LoadedModel;
}

/**
 * Checks that the mean of two models' weights means something: the same tensors, an architecture that
 * computes the same of them, the same tokenizer and the same preprocessing.
 *
 * @throws BantamError that names the first difference.
 */
export function requireAlike(a: NamedModel, b: NamedModel): void {
  const difference =
    tensorDifference(a.loaded.model.stateDict(), b.loaded.model.stateDict()) ??
    memberDifference(a.loaded, b.loaded) ??
    preprocessDifference(a.loaded, b.loaded) ??
    tokenizerDifference(a.loaded, b.loaded);
  if (difference === undefined) return;
  throw new BantamError(
    `The weights of ${a.name} and ${b.name} cannot be averaged: ${difference}; take models that were fine-tuned from the same one.`,
  );
}

/** The first tensor that only one of the models has, or that has another shape. */
function tensorDifference(
  a: ReadonlyMap<string, Tensor>,
  b: ReadonlyMap<string, Tensor>,
): string | undefined {
  for (const [name, { shape }] of a) {
    const other = b.get(name)?.shape;
    if (other === undefined) return `the second has no ${name}`;
    if (shape.join() !== other.join()) {
      return `${name} is [${shape.join(', ')}] in the first and [${other.join(', ')}] in the second`;
    }
  }
  const more = [...b.keys()].find((name) => !a.has(name));
  return more === undefined ? undefined : `the first has no ${more}`;
}

function memberDifference({ config }: LoadedModel, other: LoadedModel): string | undefined {
  const member = configDifference(config, other.config);
  return member && `the architecture of the first has ${member}, that of the second another value`;
}

function preprocessDifference(a: LoadedModel, b: LoadedModel): string | undefined {
  const others = new Map<string, unknown>(Object.entries(b.preprocess));
  for (const [name, value] of Object.entries(a.preprocess)) {
    const [one, other] = [JSON.stringify(value), JSON.stringify(others.get(name))];
    if (one !== other) {
      return `they prepare images differently ("${name}" is ${one} for the first and ${other} for the second)`;
    }
  }
  return undefined;
}

/** Texts on which tokenizers of one vocabulary differ: case, white space, accents, entities, emoji. */
const trickyTexts = [
  'A photo of a  Cat.\n',
  'it’s 100% “café” &amp; ÅNGSTRÖM',
  'o\u0308 and ö, 東京 \u{1f408}',
  'e-mail@example.com, 3.5 mm (black/white)',
];

/** Ids of each vocabulary that are compared, evenly spaced. */
const comparedIds = 4096;

/**
 * The first difference of what two tokenizers do. Their files are not compared: the same tokenizer can be
 * written in several ways, such as CLIP's own as merges or as a tokenizer.json.
 */
function tokenizerDifference(a: LoadedModel, b: LoadedModel): string | undefined {
  const [one, other] = [tokenizerOf(a), tokenizerOf(b)];
  if (one instanceof BantamError || other instanceof BantamError) {
    if (one instanceof BantamError && other instanceof BantamError) return undefined;
    return `the ${one instanceof BantamError ? 'first' : 'second'} has no tokenizer that can be read, the other has one`;
  }
  const reads = isTextTransformer(a.config.text) && readsPadding(a.config.text);
  const facts = ['vocabSize', 'contextLength', 'sotId', 'eotId'] as const;
  for (const fact of reads ? ([...facts, 'padId'] as const) : facts) {
    if (one[fact] !== other[fact]) {
      return `their tokenizers differ ("${fact}" is ${one[fact]} for the first and ${other[fact]} for the second)`;
    }
  }
  const step = Math.max(1, one.vocabSize / comparedIds);
  const words: string[] = [];
  for (let id = 0; id < one.vocabSize; id += step) {
    const ids = [Math.floor(id)];
    const word = one.decode(ids);
    if (word !== other.decode(ids)) {
      return `their tokenizers differ (the id ${Math.floor(id)} is "${word}" for the first and "${other.decode(ids)}" for the second)`;
    }
    words.push(word);
  }
  for (const text of [...trickyTexts, ...words]) {
    if (one.encode(text).join() !== other.encode(text).join()) {
      return `their tokenizers differ (on the text ${JSON.stringify(text)})`;
    }
  }
  return undefined;
}
