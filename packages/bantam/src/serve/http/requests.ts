/** Bodies of requests: their schemas, and the items that they mean. */
import * as v from 'valibot';
import {
  count,
  described,
  finite,
  group,
  isObject,
  listOf,
  oneOf,
  read,
  setting,
  text,
  unitInterval,
  type AnySchema,
} from '../../base/schema.js';
import type { ItemKind } from '../model/batcher.js';
import type { Limits } from '../settings.js';
import { BadRequest } from './request-error.js';

/** An item as a client sent it: a text, or an image's data URI or URL. */
export interface InputItem {
  readonly kind: ItemKind;
  readonly value: string;
}

const item = v.union(
  [text(), group({ text: text() }), group({ image: text() })],
  'a string, {"text": …} or {"image": …}',
);

const inputWanted = 'a string, {"text": …}, {"image": …} or a list of them';

const input = described(
  v.union([item, v.pipe(v.array(item), v.minLength(1, inputWanted))], inputWanted),
  'Texts and images: a string is of the kind that "modality" names; {"text": …} and {"image": …} say it themselves. Images are data URIs with base64, or URLs of allowed hosts.',
);

const model = v.optional(
  described(text(), 'Name of the model; may be left out where there is one model.'),
);

const onError = setting(
  oneOf('fail', 'skip'),
  'fail',
  'What an image that cannot be decoded does: it fails the request, or is left out and listed under "errors".',
);

/** Body of `POST /v1/embeddings`. */
export const embeddingsSchema = group({
  input,
  model,
  modality: setting(oneOf('text', 'image'), 'text', 'Kind of the items that are strings.'),
  encoding_format: setting(
    oneOf('float', 'base64'),
    'float',
    'A list of numbers, or base64 of float32 values, little-endian.',
  ),
  dimensions: v.optional(described(count(), "Values of an embedding: the model's own number.")),
  on_error: onError,
  user: v.optional(described(text(), 'Not used.')),
});

/** Body of `POST /v1/classify`. */
export const classifySchema = group({
  input,
  model,
  modality: setting(oneOf('text', 'image'), 'image', 'Kind of the items that are strings.'),
  labels: described(listOf(text()), 'Names of the classes.'),
  templates: setting(
    v.union(
      [text(), listOf(text())],
      'the name of a list of templates, or templates with {} for the label',
    ),
    'generic',
    'Prompt templates: a list by name (generic, imagenet, imagenet-simple, cifar, plain), or prompts with {} for the label.',
  ),
  top_k: v.optional(described(count(), 'Labels in the answer, best first. Default: all.')),
  on_error: onError,
});

const part = v.union(
  [
    group({ text: text(), weight: setting(finite(), 1, 'Weight; negative: "not that".') }),
    group({ image: text(), weight: setting(finite(), 1, 'Weight; negative: "not that".') }),
    group({ key: text(), weight: setting(finite(), 1, 'Weight; negative: "not that".') }),
  ],
  '{"text": …}, {"image": …} or {"key": …}, each perhaps with "weight"',
);

const queryWanted = 'a text, {"text": …}, {"image": …}, {"key": …} or a list of such parts';

/** Body of `POST /v1/search`. */
export const searchSchema = group({
  query: described(
    v.union([text(), part, v.pipe(v.array(part), v.minLength(1, queryWanted))], queryWanted),
    'What to look for: a text; or parts, each a text, an image (data URI) or the key of an image of the index, with a weight.',
  ),
  index: v.optional(
    described(text(), 'Name of the index; may be left out where there is one index.'),
  ),
  top_k: setting(count(), 10, 'Most images to find.'),
  where: setting(
    listOf(text()),
    [],
    'Conditions on the records, all of which have to hold: "category=Shoes|Boots", "price<50", "title~summer".',
  ),
  min_score: v.optional(described(finite(), 'Lowest score of a hit.')),
  false_positive_rate: v.optional(
    described(
      unitInterval(),
      'Leaves out what scores no higher than an image without relation to the query, except with this probability.',
    ),
  ),
});

/**
 * Checks a body.
 *
 * @throws BadRequest naming the first thing that is wrong.
 */
export function readBody<const S extends AnySchema>(schema: S, body: unknown): v.InferOutput<S> {
  try {
    return read(schema, body, { where: 'the request', error: BadRequest });
  } catch (error) {
    if (error instanceof BadRequest) throw capitalized(error);
    // Lists within lists within lists, more than a message can quote.
    if (error instanceof RangeError) throw new BadRequest('The request is nested too deeply.');
    throw error;
  }
}

function capitalized({ message, details }: BadRequest): BadRequest {
  return new BadRequest(message.charAt(0).toUpperCase() + message.slice(1), details);
}

/**
 * The items of a request's `input`.
 *
 * @throws BadRequest for empty and for too long texts.
 */
export function inputItems(
  { input: given, modality }: v.InferOutput<typeof embeddingsSchema | typeof classifySchema>,
  { textLength }: Pick<Limits, 'textLength'>,
): readonly InputItem[] {
  const list = Array.isArray(given) ? given : [given];
  const items = list.map((one): InputItem => {
    if (typeof one === 'string') return { kind: modality, value: one };
    return 'text' in one ? { kind: 'text', value: one.text } : { kind: 'image', value: one.image };
  });
  for (const [index, { kind, value }] of items.entries()) {
    if (kind === 'text') checkText(value, { index, param: 'input', textLength });
  }
  return items;
}

/** @throws BadRequest for an empty text and for a too long one. */
export function checkText(
  value: string,
  { index, param, textLength }: { index: number; param: string; textLength: number },
): void {
  const name = `Item ${index} of "${param}"`;
  if (value.trim() === '') throw new BadRequest(`${name} is an empty text.`, { param });
  if (value.length > textLength) {
    throw new BadRequest(`${name} has ${value.length} characters; send at most ${textLength}.`, {
      code: 'text_too_long',
      param,
    });
  }
}

/**
 * Refuses lists by their length, before each of their items is looked at: a body may hold millions.
 *
 * @throws BadRequest also for the token ids that some clients send in place of texts.
 */
export function checkLists(
  body: unknown,
  { items, prompts }: Pick<Limits, 'items' | 'prompts'>,
): void {
  if (!isObject(body)) return;
  const { input: given, labels, templates, query, where } = body;
  for (const [param, list, most] of [
    ['input', given, items],
    ['labels', labels, prompts],
    ['templates', templates, prompts],
    ['query', query, items],
    ['where', where, items],
  ] as const) {
    if (Array.isArray(list) && list.length > most) {
      throw new BadRequest(`"${param}" has ${list.length} items; send at most ${most} at a time.`, {
        code: 'too_many_items',
        param,
      });
    }
  }
  const [first] = Array.isArray(given) ? (given as unknown[]) : [];
  if (typeof first === 'number' || (Array.isArray(first) && typeof first[0] === 'number')) {
    throw new BadRequest(
      '"input" holds token ids, which are of another vocabulary; send the texts themselves.',
      { code: 'tokens_not_supported', param: 'input' },
    );
  }
}
