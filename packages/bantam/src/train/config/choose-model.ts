import { DistinctCounter, type Source } from '../../data/index.js';

/** A preset for a run that names none, and the reason in a sentence. */
export interface ModelChoice {
  readonly model: string;
  readonly images: number;
  readonly reason: string;
}

/**
 * Distinct images from which on a ViT is chosen. Li, Xie and Cubuk (2024, arXiv 2404.08197) find
 * ResNet-50 ahead of ViT-B/32 after 100 million samples seen once, and behind after 400 million; the
 * turn is put where the convolutional tower was still ahead.
 */
export const vitFrom = 100_000_000;

/**
 * Images of a source that have different locations; every copy of a file counts. Above 8 million it is
 * an estimate, so that it takes little memory.
 */
export function distinctImages(source: Pick<Source, 'size' | 'location'>): number {
  const locations = new DistinctCounter();
  for (let index = 0; index < source.size; index++) {
    const { path, range, page } = source.location(index);
    locations.add(
      range === undefined
        ? path
        : `${path}\0${range.offset}\0${page === undefined ? '' : page.row}`,
    );
  }
  return locations.count;
}

/**
 * The image tower by the number of distinct images: convolutions for few, whose neighbourhoods a
 * transformer has to learn, and a ViT for many. Both presets read 64 pixels and cost about the same;
 * a larger one of either kind is worth naming where the budget gives it several epochs.
 */
export function chooseModel(images: number): ModelChoice {
  const count = images.toLocaleString('en-US');
  const turn = `${vitFrom / 1e6} million`;
  return images < vitFrom
    ? {
        model: 'ModifiedResNet-Nano-64',
        images,
        reason: `ModifiedResNet-Nano-64 is the model for ${count} distinct images: below about ${turn}, convolutional towers learn more than ViTs (Li et al. 2024). --model names another.`,
      }
    : {
        model: 'ViT-Nano-16-64',
        images,
        reason: `ViT-Nano-16-64 is the model for ${count} distinct images: from about ${turn} on, ViTs learn more than convolutional towers (Li et al. 2024). --model names another.`,
      };
}
