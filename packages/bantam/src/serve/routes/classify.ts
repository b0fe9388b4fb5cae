import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { fillTemplate, resolveTemplates } from '../../eval/index.js';
import { embedItems, type EmbedContext, type ItemError } from '../embed-items.js';
import { BadRequest } from '../http/request-error.js';
import { checkLists, checkText, classifySchema, inputItems, readBody } from '../http/requests.js';
import type { Models } from '../model/models.js';
import type { ServedModel } from '../model/served-model.js';
import { usageOf, type Usage } from './embeddings.js';

/** A class and how well it fits an item. */
export interface ClassScore {
  readonly label: string;
  /** Probability of the class, see {@link ClassifyAnswer}. */
  readonly score: number;
  /** Cosine between the item and the class. */
  readonly similarity: number;
}

/**
 * Answer of `POST /v1/classify`. `score` is the softmax over the labels; for a model trained with the
 * sigmoid loss it is the sigmoid, each label's own. `usage` counts the prompts of the labels and the
 * texts among the items; images have no tokens.
 */
export interface ClassifyAnswer {
  readonly object: 'list';
  readonly data: readonly {
    readonly object: 'classification';
    readonly index: number;
    readonly label: string;
    readonly score: number;
    readonly scores: readonly ClassScore[];
  }[];
  readonly model: string;
  readonly usage: Usage;
  readonly errors?: readonly ItemError[];
}

/** Most lists of labels whose weights are kept for each model. */
const mostKept = 32;

/** Class weights [C, D], and the tokens of the prompts that they are made of. */
interface Classes {
  readonly weights: Float32Array;
  readonly tokens: number;
}

/** The label lists that were asked for lately, by model. */
const kept = new WeakMap<ServedModel, Map<string, Classes>>();

/** `POST /v1/classify` */
export async function classify(
  context: EmbedContext & { readonly models: Models },
  body: unknown,
  signal: AbortSignal,
): Promise<ClassifyAnswer> {
  const { limits } = context.settings;
  checkLists(body, limits);
  const request = readBody(classifySchema, body);
  const items = inputItems(request, limits);
  const labels = checkedLabels(request.labels, limits);
  const templates = checkedTemplates(request.templates);
  if (labels.length * templates.length > limits.prompts) {
    throw new BadRequest(
      `${labels.length} labels times ${templates.length} templates are more than ${limits.prompts} prompts; send fewer of them.`,
      { code: 'too_many_prompts', param: 'labels' },
    );
  }
  const model = context.models.get(request.model);
  const done = model.use();
  try {
    const onError = request.on_error;
    const prompts = labels.map((label) => templates.map((one) => fillTemplate(one, label)));
    const { weights, tokens } = await classWeights(context, model, prompts, signal);
    const found = await embedItems(context, model, items, { signal, onError });
    const rows = [...found.embeddings].sort(([a], [b]) => a - b);
    const data = rows.map(([index, { features }]) => {
      const scores = score(features, weights, { labels, model });
      const best = at(scores, 0);
      return {
        object: 'classification' as const,
        index,
        label: best.label,
        score: best.score,
        scores: scores.slice(0, request.top_k),
      };
    });
    return {
      object: 'list',
      data,
      model: model.name,
      usage: usageOf(found.embeddings.values(), tokens),
      ...(onError === 'skip' && { errors: found.errors }),
    };
  } finally {
    done();
  }
}

function checkedLabels(
  labels: readonly string[],
  { textLength }: { textLength: number },
): readonly string[] {
  if (labels.length === 0) {
    throw new BadRequest('"labels" is empty; name the classes.', { param: 'labels' });
  }
  for (const [index, label] of labels.entries()) {
    checkText(label, { index, param: 'labels', textLength });
  }
  const twice = labels.find((label, index) => labels.indexOf(label) < index);
  if (twice !== undefined) {
    throw new BadRequest(`"labels" holds "${twice}" twice.`, { param: 'labels' });
  }
  return labels;
}

function checkedTemplates(given: string | readonly string[]): readonly string[] {
  try {
    return resolveTemplates(given);
  } catch (error) {
    if (error instanceof BantamError) throw new BadRequest(error.message, { param: 'templates' });
    throw error;
  }
}

/**
 * Weights of classes, [C, D], kept for later requests: the mean of the embeddings of each class's prompts, scaled to length 1
 * (Radford et al. 2021, section 3.1.4).
 */
async function classWeights(
  context: EmbedContext,
  model: ServedModel,
  prompts: readonly (readonly string[])[],
  signal: AbortSignal,
): Promise<Classes> {
  const known = kept.get(model) ?? new Map<string, Classes>();
  kept.set(model, known);
  const key = JSON.stringify(prompts);
  const before = known.get(key);
  if (before !== undefined) {
    // The last of the map is the one used last.
    known.delete(key);
    known.set(key, before);
    return before;
  }
  const { dimensions } = model.description;
  const weights = new Float32Array(prompts.length * dimensions);
  const texts = prompts.flatMap((ofClass, row) => ofClass.map((value) => ({ row, value })));
  const { items: most } = context.settings.limits;
  let tokens = 0;
  for (let start = 0; start < texts.length; start += most) {
    const some = texts.slice(start, start + most);
    const items = some.map(({ value }) => ({ kind: 'text', value }) as const);
    const { embeddings } = await embedItems(context, model, items, { signal, onError: 'fail' });
    for (const [index, { features, tokens: own }] of embeddings) {
      tokens += own;
      const { row } = at(some, index);
      features.forEach((value, i) => {
        weights[row * dimensions + i] = at(weights, row * dimensions + i) + value;
      });
    }
  }
  for (let row = 0; row < prompts.length; row++) {
    const weight = weights.subarray(row * dimensions, (row + 1) * dimensions);
    const length = Math.hypot(...weight);
    weight.forEach((value, i) => (weight[i] = value / length));
  }
  const classes = { weights, tokens };
  known.set(key, classes);
  const [oldest] = known.keys();
  if (known.size > mostKept && oldest !== undefined) known.delete(oldest);
  return classes;
}

/** The classes of an item, the most probable first. */
function score(
  features: Float32Array,
  weights: Float32Array,
  { labels, model }: { labels: readonly string[]; model: ServedModel },
): ClassScore[] {
  const { logitScale, logitBias } = model.description;
  const cosines = labels.map((_, row) => {
    const weight = weights.subarray(row * features.length, (row + 1) * features.length);
    return features.reduce((sum, value, i) => sum + value * at(weight, i), 0);
  });
  const most = Math.max(...cosines);
  const odds = cosines.map((cosine) =>
    logitBias === null
      ? Math.exp(logitScale * (cosine - most))
      : 1 / (1 + Math.exp(-(logitScale * cosine + logitBias))),
  );
  const total = logitBias === null ? odds.reduce((sum, odd) => sum + odd, 0) : 1;
  return labels
    .map((label, i) => ({ label, score: at(odds, i) / total, similarity: at(cosines, i) }))
    .sort((a, b) => b.similarity - a.similarity);
}
