import { isDeepStrictEqual } from 'node:util';
import { cat, flatten, narrow, to, type Tensor } from '@bantam/torch';
import type { ImageAugment, Replay, Source } from '../../data/index.js';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { blockCount, closeBlock, openBlock, type Block } from './blocks.js';
import { digestOf, readManifest, replayOf, type ReinforcedManifest } from './manifest.js';

/** Selection of stored features. */
export interface StoredRows {
  /** Index of the teacher among {@link ReinforcedManifest.teachers}. */
  readonly teacher: number;
  /** Records of the source. */
  readonly indices: Int32Array;
  /** A view of each record's image, or one of its captions. */
  readonly which: Int32Array;
}

/**
 * Teachers' embeddings of a fixed number of augmented views and captions of each record of a source,
 * stored once and learnt from any number of times: the reinforced data set of MobileCLIP (Vasu et al.
 * 2024, section 3). Files are memory-mapped, so only the rows in use take memory.
 */
export class ReinforcedSet implements Disposable {
  readonly folder: string;
  readonly manifest: ReinforcedManifest;
  /** Records without features, as their images could not be read. */
  readonly broken: readonly number[];
  readonly #blocks: readonly Block<Tensor>[];

  private constructor(
    folder: string,
    manifest: ReinforcedManifest,
    blocks: readonly Block<Tensor>[],
  ) {
    this.folder = folder;
    this.manifest = manifest;
    this.#blocks = blocks;
    this.broken = blocks.flatMap(({ broken }) => [...broken.keys()]);
  }

  /**
   * Opens the set in a folder.
   *
   * @throws BantamError when there is none, or a part of it is missing or damaged.
   */
  static async open(folder: string): Promise<ReinforcedSet> {
    const manifest = await readManifest(folder);
    if (manifest === null) {
      throw new BantamError(
        `There is no reinforced set in ${folder} (no reinforced.json); make one with "bantam data reinforce".`,
      );
    }
    const blocks: Block<Tensor>[] = [];
    try {
      for (let block = 0; block < blockCount(manifest); block++) {
        blocks.push(openBlock(folder, manifest, block));
      }
    } catch (error) {
      blocks.forEach(closeBlock);
      throw error;
    }
    return new ReinforcedSet(folder, manifest, blocks);
  }

  /** The augmentation of the views. */
  get augment(): ImageAugment {
    return this.manifest.augment;
  }

  /** The views and captions whose features it holds. */
  get replay(): Replay {
    return replayOf(this.manifest);
  }

  /** @throws BantamError unless it was made of this source, unchanged, with this augmentation. */
  check(source: Source, augment: ImageAugment): void {
    const { data, records, digest } = this.manifest;
    if (source.spec !== data) {
      throw new BantamError(
        `The reinforced set in ${this.folder} was made of "${data}", not of "${source.spec}"; train on the data that it was made of, or make a set of these with "bantam data reinforce".`,
      );
    }
    if (source.size !== records || digestOf(source, this.replay) !== digest) {
      throw new BantamError(
        `The records or captions of "${data}" have changed since the reinforced set in ${this.folder} was made; make it anew in another folder with "bantam data reinforce".`,
      );
    }
    if (!isDeepStrictEqual(augment, this.augment)) {
      throw new BantamError(
        `The reinforced set in ${this.folder} holds views of an augmentation of its own, so that no other can be set; leave the setting 'augment' out.`,
      );
    }
  }

  /** Features of views, float32 [B, D], each row of length 1 but for rounding. */
  image({ teacher, indices, which }: StoredRows): Tensor {
    return this.#rows('image', { teacher, indices, which }, this.manifest.augmentations);
  }

  /** Features of captions, float32 [B, D], each row of length 1 but for rounding. */
  text(rows: StoredRows): Tensor {
    return this.#rows('text', rows, this.manifest.captions);
  }

  #rows(
    kind: 'image' | 'text',
    { teacher, indices, which }: StoredRows,
    perRecord: number,
  ): Tensor {
    const { blockSize } = this.manifest;
    const rows = Array.from(indices, (index, i) => {
      const stored = this.#blocks[Math.floor(index / blockSize)]?.features[teacher]?.[kind];
      if (stored === undefined) {
        throw new RangeError(`There is no teacher ${teacher} of record ${index}.`);
      }
      const row = (index % blockSize) * perRecord + at(which, i);
      return narrow(flatten(stored, { end: 1 }), 0, row, 1);
    });
    return to(cat(rows), { dtype: 'float32' });
  }

  [Symbol.dispose](): void {
    this.#blocks.forEach(closeBlock);
  }
}
