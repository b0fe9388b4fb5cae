/** Micro-batches as all processes have them together. */
import { at } from '../../base/at.js';
import type { Batch, Quarantine, QuarantinedSample } from '../../data/index.js';
import type { World } from '../world/world.js';

/** The samples of a micro-batch, in the order that they have in one process. */
export interface WholeBatch extends Pick<
  Batch,
  'size' | 'indices' | 'captions' | 'keys' | 'epoch'
> {
  /** Tokens of the longest caption. */
  readonly captionTokens: number;
}

/** The part of a {@link Quarantine} that gives rank 0 the others' broken samples. */
export type Quarantined = Pick<Quarantine, 'samples' | 'add'>;

/** A process's news before a step. */
interface News {
  readonly batches: readonly {
    readonly indices: readonly number[];
    readonly captions: readonly string[];
    readonly keys: readonly string[];
    readonly tokens: number;
  }[];
  readonly broken: readonly QuarantinedSample[];
  readonly stop: boolean;
}

/** Options of {@link wholeBatches}. */
export interface WholeBatchOptions {
  readonly world: World | null;
  readonly quarantine: Quarantined | undefined;
  /** Samples of all processes before these. */
  readonly seen: number;
}

/**
 * Micro-batches with the samples of all processes. Rank 0's quarantine gets the samples that were broken
 * elsewhere, and the world the wish of any process to stop.
 *
 * @param tokens - Of the longest caption of each batch here
 */
export async function wholeBatches(
  batches: readonly Batch[],
  tokens: readonly number[],
  { world, quarantine, seen }: WholeBatchOptions,
): Promise<WholeBatch[]> {
  if (world === null) {
    return batches.map(({ size, indices, captions, keys, epoch }, i) => {
      return { size, indices, captions, keys, epoch, captionTokens: at(tokens, i) };
    });
  }
  const news = await world.exchange<News>({
    batches: batches.map(({ indices, captions, keys }, i) => {
      return { indices: [...indices], captions, keys, tokens: at(tokens, i) };
    }),
    broken: world.isFirst ? [] : (quarantine?.samples ?? []).slice(world.reported),
    stop: world.wantsStop,
  });
  world.reported = quarantine?.samples.length ?? 0;
  world.isStopWished ||= news.some(({ stop }) => stop);
  if (world.isFirst) {
    for (const sample of news.flatMap(({ broken }) => broken)) quarantine?.add(sample, seen);
  }
  return batches.map(({ epoch }, i) => {
    const parts = news.map((one) => at(one.batches, i));
    const indices = parts.flatMap((part) => part.indices);
    return {
      size: indices.length,
      indices: Int32Array.from(indices),
      captions: parts.flatMap(({ captions }) => captions),
      keys: parts.flatMap(({ keys }) => keys),
      epoch,
      captionTokens: Math.max(...parts.map(({ tokens: count }) => count)),
    };
  });
}
