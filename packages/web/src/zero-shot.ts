import { at, BantamError, chooseTemplates, fillTemplate } from 'bantam/portable';
import type { Logits } from './types.js';
import { direction, dot } from './vectors.js';

/** A label and how well it fits an image. */
export interface LabelScore {
  readonly label: string;
  /** Between 0 and 1: of all labels together (softmax), or of each alone (sigmoid). */
  readonly probability: number;
}

/** Encodes texts to vectors of length 1. */
export type EncodeTexts = (texts: readonly string[]) => Promise<Float32Array[]>;

/**
 * One vector for each label: its prompts' features, each of length 1, their mean, scaled to length 1
 * (Radford et al. 2021, section 3.1.4).
 *
 * @param templates prompts with `{}`, or the name of one of Bantam's lists
 */
export async function labelVectors(
  encode: EncodeTexts,
  labels: readonly string[],
  templates: string | readonly string[],
): Promise<Float32Array[]> {
  if (labels.length === 0) throw new BantamError('Give at least one label.');
  const prompts = chooseTemplates(templates);
  const texts = labels.flatMap((label) => prompts.map((prompt) => fillTemplate(prompt, label)));
  const features = await encode(texts);
  return labels.map((_, row) =>
    direction(features.slice(row * prompts.length, (row + 1) * prompts.length)),
  );
}

/** The labels of an image, best first. */
export function scoreLabels(
  image: Float32Array,
  labels: readonly string[],
  vectors: readonly Float32Array[],
  { activation, scale, bias }: Logits,
): LabelScore[] {
  const logits = vectors.map((vector) => scale * dot(image, vector) + (bias ?? 0));
  const probabilities = activation === 'softmax' ? softmax(logits) : logits.map(sigmoid);
  return labels
    .map((label, row) => ({ label, probability: at(probabilities, row) }))
    .sort((a, b) => b.probability - a.probability);
}

function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}
