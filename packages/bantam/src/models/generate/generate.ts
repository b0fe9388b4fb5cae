import { argmax, noGrad, scope, tensor, type Generator, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Tokenizer } from '../../text/index.js';
import type { Clip } from '../clip.js';
import { beamSearch } from './beam-search.js';
import { CaptionWriter } from './caption-writer.js';
import { constrainLogits, sampleToken, filterLogits } from './next-token.js';

/** How captions are written. */
export interface GenerateOptions {
  /**
   * `greedy`: the most likely token each time. `sample`: one sampled by its probability. `beam`: the
   * caption of highest score among several that are followed at a time. Default `greedy`.
   */
  method?: 'greedy' | 'sample' | 'beam';
  /** Captions of each image; more than one by `sample` or `beam`. Default 1. */
  count?: number;
  /** The most tokens of a caption, start and end among them. Default 30, or the context where that is less. */
  maxTokens?: number;
  /** Tokens before the end at least, the start among them. Default 2. */
  minTokens?: number;
  /** Logits of tokens that the caption has already are divided by it. Default 1. */
  repetitionPenalty?: number;
  /** `sample` divides the logits by it, after the filters. Default 1. */
  temperature?: number;
  /** `sample` considers this many most likely tokens; 0: all. Default 0. */
  topK?: number;
  /** `sample` considers the fewest tokens whose probabilities add up to this. Default 1. */
  topP?: number;
  /** Random streams of `sample`: one for all images, or one for each. */
  generator?: Generator | readonly Generator[];
  /** Captions that `beam` follows at a time, {@link count} at least. Default 4, or `count`. */
  beams?: number;
  /**
   * Scores that `beam` sums: log-probabilities, or the decoder's raw logits as OpenCLIP's `generate`
   * does. Default `log-probability`.
   */
  scores?: 'log-probability' | 'logit';
}

/** The ids that captions begin and end with. */
export interface CaptionEnds {
  readonly startId: number;
  readonly endId: number;
  /** Id that ends a caption too, as OpenCLIP has it when it samples. */
  readonly padId: number;
}

type Settings = Required<Omit<GenerateOptions, 'generator'>> &
  CaptionEnds & { readonly generators: readonly Generator[] };

/**
 * Token ids of captions for normalised pixels [B, 3, S, S]: for each image `count` lists, which begin
 * with the start's id and end with the end's where the caption ended in time. The model computes in
 * evaluation mode.
 *
 * @throws BantamError if the model has no decoder, or the options do not go together.
 */
export function generateIds(
  model: Clip,
  pixels: Tensor,
  { startId, endId, padId, ...options }: GenerateOptions & CaptionEnds,
): number[][][] {
  const images = pixels.dim(0);
  const settings = checked(model, images, { startId, endId, padId, ...options });
  const { training } = model;
  model.eval();
  try {
    return noGrad(() =>
      scope(() => {
        using writer = new CaptionWriter(model, pixels, settings);
        return settings.method === 'beam'
          ? beamSearch(writer, { images, ...settings })
          : writeTokens(writer, images, settings);
      }),
    );
  } finally {
    model.train(training);
  }
}

/** Options of {@link generateCaptions}. */
export interface GenerateCaptionsOptions extends GenerateOptions {
  /** The model's own. */
  tokenizer: Tokenizer;
}

/**
 * Captions for normalised pixels [B, 3, S, S], `count` of them for each image.
 *
 * @throws BantamError also where the tokenizer has no ids for start and end.
 */
export function generateCaptions(
  model: Clip,
  pixels: Tensor,
  { tokenizer, ...options }: GenerateCaptionsOptions,
): string[][] {
  const { sotId, eotId, padId } = tokenizer;
  if (sotId < 0 || eotId < 0) {
    throw new BantamError(
      'The tokenizer has no tokens for the start and the end of a text, so captions cannot be written with it; train the model with one that has.',
    );
  }
  const ids = generateIds(model, pixels, { startId: sotId, endId: eotId, padId, ...options });
  return ids.map((captions) => captions.map((caption) => tokenizer.decode(caption)));
}

function checked(
  { config }: Clip,
  images: number,
  { generator = [], ...options }: GenerateOptions & CaptionEnds,
): Settings {
  const { count = 1, method = 'greedy' } = options;
  const settings: Settings = {
    minTokens: 2,
    maxTokens: Math.min(30, config.text.contextLength),
    repetitionPenalty: 1,
    temperature: 1,
    topK: 0,
    topP: 1,
    beams: Math.max(4, count),
    scores: 'log-probability',
    ...options,
    method,
    count,
    generators: method === 'sample' ? [generator].flat() : [],
  };
  const { beams, generators, maxTokens, minTokens, temperature, topP } = settings;
  const wrong: [boolean, string][] = [
    [
      method === 'greedy' && count > 1,
      `The method "greedy" writes one caption for an image, not ${count}; choose "sample" or "beam" for more.`,
    ],
    [
      method === 'sample' && generators.length !== 1 && generators.length !== images,
      `The method "sample" needs a "generator" to sample from, or one for each of the ${images} images.`,
    ],
    [
      method === 'beam' && beams < count,
      `${beams} beams cannot give ${count} captions; raise "beams", or lower "count".`,
    ],
    [
      minTokens >= maxTokens,
      `Captions of up to ${maxTokens} tokens cannot have ${minTokens} before their end; lower "minTokens", or raise "maxTokens".`,
    ],
    [!(temperature > 0), `"temperature" is ${temperature}; it must be above 0.`],
    [!(topP > 0 && topP <= 1), `"topP" is ${topP}; it must be above 0 and at most 1.`],
  ];
  for (const [is, message] of wrong) if (is) throw new BantamError(message);
  return settings;
}

/** One token after the other, the likeliest or a sampled one. */
function writeTokens(writer: CaptionWriter, images: number, settings: Settings): number[][][] {
  const { count, startId, endId, padId, maxTokens } = settings;
  const captions = Array.from({ length: images * count }, () => [startId]);
  const isOpen = (ids: readonly number[]) => ![endId, padId].includes(ids.at(-1) ?? endId);
  // Rows of one length: a caption that has ended is padded.
  const rows = captions.map((ids) => [...ids]);
  for (let length = 1; length < maxTokens && captions.some(isOpen); length++) {
    const chosen =
      length + 1 === maxTokens
        ? rows.map(() => endId)
        : scope(() =>
            nextTokens(
              writer,
              tensor(rows, { dtype: 'int64', device: writer.device }),
              settings,
            ).toArray(),
          );
    for (const [row, ids] of captions.entries()) {
      const open = isOpen(ids);
      const token = Number(chosen[row]);
      rows[row]?.push(open ? token : padId);
      if (open) ids.push(token);
    }
  }
  return Array.from({ length: images }, (_, i) => captions.slice(i * count, (i + 1) * count));
}

function nextTokens(writer: CaptionWriter, ids: Tensor, settings: Settings): Tensor {
  const logits = constrainLogits(writer.next(ids), ids, settings);
  const { temperature, generators } = settings;
  if (generators.length === 0) return argmax(logits, { dim: 1 });
  return sampleToken(filterLogits(logits, settings), temperature, generators);
}
