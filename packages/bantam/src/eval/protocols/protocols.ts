import { add, div, mean, noGrad, norm, normalize, scope, type Tensor } from '@bantam/torch';
import { UsageError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';
import type { Geometry } from '../../data/index.js';
import { classifierWeights } from '../metrics/zero-shot.js';
import type { ImageNetSet } from './imagenet.js';
import { imagenetTemplates } from './templates.js';

/** A published way to measure zero-shot classification. */
export interface ZeroShotProtocol {
  /** One sentence for people. */
  readonly description: string;
  /** The text of a class name. */
  readonly className: (name: string) => string;
  /** The templates for data whose own are given. */
  readonly templates: (own: readonly string[]) => readonly string[];
  /** Texts of templates that a user chose. */
  readonly template: (text: string) => string;
  /** Class vectors [C, D] of prompt embeddings [C, T, D]. */
  readonly weights: (prompts: Tensor) => Tensor;
  /** Changes to how the model resizes images; `imagenet`: the set of ImageNet's that the classes are. */
  readonly geometry: (data: { readonly imagenet?: ImageNetSet }) => Partial<Geometry>;
  /** Most tokens of a prompt; absent: the model's context. */
  readonly maxTokens?: number;
}

/** Radford et al. 2021 as OpenCLIP and CLIP_benchmark measure it. */
const openclip: ZeroShotProtocol = {
  description: 'names and templates unchanged; normalised mean of normalised prompt embeddings',
  className: (name) => name,
  templates: (own) => own,
  template: (text) => text,
  weights: classifierWeights,
  geometry: () => ({}),
};

/** Prompts of big_vision's `clip_paper`: CLIP's 80 and the class name alone. */
const clipPaperTemplates: readonly string[] = [...imagenetTemplates, '{}'];

/**
 * big_vision's `discriminative_classifier`, by which "Scaling (Down) CLIP" measures: canonical
 * texts, only the first of several names, `clip_paper` prompts of at most 16 tokens, the mean of
 * their embeddings divided by its norm + 1e-8. Images are resized by TensorFlow: squashed to a square
 * (bilinear, no antialias), ImageNet's to size/0.875 and then cropped; those of ImageNet-A have their
 * shorter side resized to size/0.75 by area before the crop (`configs/proj/image_text/common.py`).
 */
const bigVision: ZeroShotProtocol = {
  description:
    'canonical texts, first name of each class, 81 prompts of at most 16 tokens; images squashed to a square',
  className: (name) => canonicalText(name, ',').replace(/,.*$/, ''),
  templates: () => clipPaperTemplates.map((text) => canonicalText(text, '{}')),
  template: (text) => canonicalText(text, '{}'),
  weights: (prompts) =>
    noGrad(() =>
      scope(() => {
        const centre = mean(normalize(prompts, { dim: -1 }), { dim: 1 });
        return div(centre, add(norm(centre, { dim: -1, keepdim: true }), 1e-8));
      }),
    ),
  geometry: ({ imagenet }) => {
    if (imagenet === 'imagenet-a') {
      return { resizeMode: 'shortest', tensorflow: 'area', cropFraction: 0.75 };
    }
    const whole = { resizeMode: 'squash', tensorflow: 'bilinear' } as const;
    return imagenet === undefined ? whole : { ...whole, cropFraction: 0.875 };
  },
  maxTokens: 16,
};

/** The zero-shot protocols by name. */
export const zeroShotProtocols = {
  openclip,
  big_vision: bigVision,
} as const satisfies Readonly<Record<string, ZeroShotProtocol>>;

export type ZeroShotProtocolName = keyof typeof zeroShotProtocols;

/**
 * Ways to count captions in retrieval. `bantam`: the first caption of each image, equal ones once,
 * with all their images as positives. `karpathy`: every caption is a query with one positive, and each
 * image's query has all its captions as positives, as on the splits of Karpathy and Fei-Fei 2015.
 */
export const retrievalProtocols = ['bantam', 'karpathy'] as const;
export type RetrievalProtocolName = (typeof retrievalProtocols)[number];

/** The protocols of an evaluation. */
export interface Protocols {
  readonly zeroShot: ZeroShotProtocolName;
  readonly retrieval: RetrievalProtocolName;
}

/**
 * The protocols that names stand for; `openclip` and `bantam` by default. `big_vision` counts
 * captions as `karpathy` does.
 *
 * @throws UsageError for an unknown name.
 */
export function resolveProtocols(names: readonly string[] = []): Protocols {
  const zeroShotNames = Object.keys(zeroShotProtocols) as ZeroShotProtocolName[];
  let zeroShot: ZeroShotProtocolName = 'openclip';
  let retrieval: RetrievalProtocolName = names.includes('big_vision') ? 'karpathy' : 'bantam';
  for (const name of names) {
    const classifies = zeroShotNames.find((known) => known === name);
    const retrieves = retrievalProtocols.find((known) => known === name);
    if (classifies !== undefined) zeroShot = classifies;
    else if (retrieves !== undefined) retrieval = retrieves;
    else {
      const known = [...zeroShotNames, ...retrievalProtocols];
      throw new UsageError(
        `There is no protocol "${name}"${didYouMean(name, known)}; protocols are ${known.join(', ')}.`,
      );
    }
  }
  return { zeroShot, retrieval };
}

/** ASCII punctuation, Python's `string.punctuation`. */
const punctuation = /[!-/:-@[-`{-~]/g;

/**
 * big_vision's canonical form of a text: `_` becomes a space, punctuation goes, letters become
 * lower case, runs of white space one space.
 *
 * @param kept Punctuation that stays where it occurs exactly so, such as `{}`.
 */
export function canonicalText(text: string, kept: string): string {
  return text
    .replaceAll('_', ' ')
    .split(kept)
    .map((part) => part.replaceAll(punctuation, ''))
    .join(kept)
    .toLowerCase()
    .replaceAll(/\s+/g, ' ')
    .trim();
}
