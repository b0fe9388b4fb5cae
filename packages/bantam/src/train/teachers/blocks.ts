import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  fromTypedArray,
  loadSafetensors,
  saveSafetensors,
  scope,
  to,
  TorchError,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { ReinforcedManifest } from './manifest.js';

/** The number of files that hold a set's features. */
export function blockCount({ records, blockSize }: ReinforcedManifest): number {
  return Math.ceil(records / blockSize);
}

/** The records of a block: from `start` up to but not `end`. */
export function blockRange(
  { records, blockSize }: ReinforcedManifest,
  block: number,
): { start: number; end: number } {
  return { start: block * blockSize, end: Math.min((block + 1) * blockSize, records) };
}

/** Path of a block's file. */
export function blockPath(folder: string, block: number): string {
  return join(folder, `block-${String(block).padStart(5, '0')}.safetensors`);
}

/** True if a file's name is that of a block, or of one that was being written. */
export function isBlockName(name: string): boolean {
  return /^block-\d+\.safetensors(\.\d+\.tmp)?$/.test(name);
}

/** Features of one teacher: a row of length 1 for each view or caption of each record in turn. */
export interface StoredFeatures<T> {
  /** [records · augmentations, D] */
  readonly image: T;
  /** [records · captions, D] */
  readonly text: T;
}

/** Content of a block. */
export interface Block<T> {
  /** In the teachers' order. */
  readonly features: readonly StoredFeatures<T>[];
  /** Records whose images could not be read, with the reasons. */
  readonly broken: ReadonlyMap<number, string>;
}

/** Tensors of a block by name: their shapes in the file. */
function shapesOf(manifest: ReinforcedManifest, block: number) {
  const { start, end } = blockRange(manifest, block);
  return manifest.teachers.map(({ embedDim }, i) => ({
    image: `teacher${i}.image`,
    imageShape: [end - start, manifest.augmentations, embedDim],
    text: `teacher${i}.text`,
    textShape: [end - start, manifest.captions, embedDim],
  }));
}

/**
 * Writes a block, whole or not at all.
 *
 * @throws BantamError when it cannot be written.
 */
export function writeBlock(
  folder: string,
  manifest: ReinforcedManifest,
  block: number,
  { features, broken }: Block<Float32Array>,
): void {
  const { store: dtype } = manifest;
  try {
    scope(() => {
      const tensors = new Map<string, Tensor>();
      for (const [i, shapes] of shapesOf(manifest, block).entries()) {
        const { image, text } = at(features, i);
        const { imageShape, textShape } = shapes;
        tensors.set(shapes.image, to(fromTypedArray(image, { shape: imageShape }), { dtype }));
        tensors.set(shapes.text, to(fromTypedArray(text, { shape: textShape }), { dtype }));
      }
      const metadata = { broken: JSON.stringify([...broken]) };
      saveSafetensors(blockPath(folder, block), tensors, { metadata });
    });
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw new BantamError(
      `${error.message.replace(/\.$/, '')}; finished blocks are kept, and the same command resumes after them.`,
    );
  }
}

/**
 * Opens a block; its features are views of the mapped file.
 *
 * @throws BantamError when it is missing or damaged.
 */
export function openBlock(
  folder: string,
  manifest: ReinforcedManifest,
  block: number,
): Block<Tensor> {
  const path = blockPath(folder, block);
  if (!existsSync(path)) {
    throw new BantamError(
      `The reinforced set in ${folder} lacks ${basename(path)}; run the "bantam data reinforce" that started it again, which makes the missing blocks.`,
    );
  }
  try {
    const { tensors, metadata } = loadSafetensors(path);
    const view = (name: string, shape: readonly number[]): Tensor => {
      const found = tensors.get(name);
      if (found?.dtype !== manifest.store || found.shape.join() !== shape.join()) {
        throw new TorchError(`${name} is not what reinforced.json says`);
      }
      return found;
    };
    const features = shapesOf(manifest, block).map(({ image, imageShape, text, textShape }) => ({
      image: view(image, imageShape),
      text: view(text, textShape),
    }));
    return { features, broken: new Map(JSON.parse(metadata.broken ?? '') as [number, string][]) };
  } catch (error) {
    if (!(error instanceof TorchError || error instanceof SyntaxError)) throw error;
    throw new BantamError(
      `${path} is cut off or damaged; delete it and run the "bantam data reinforce" that made it again, which makes the missing blocks.`,
    );
  }
}

/** Frees an open block. */
export function closeBlock({ features }: Block<Tensor>): void {
  for (const { image, text } of features) {
    image.dispose();
    text.dispose();
  }
}
