/** The part of the processes that compute for rank 0. */
import { BantamError } from '../../base/errors.js';
import { openSource, Quarantine, type Source } from '../../data/index.js';
import { embedImages, keysDigest } from '../embed.js';
import { encodeTexts } from '../encode.js';
import type { InferenceModel } from '../load-for-inference.js';
import type { Helpers } from './helpers.js';
import { loadTogether } from './load.js';
import type { ImagesOrder, Order, TextsOrder } from './orders.js';

/**
 * Computes what rank 0 asks for, until it has no more orders.
 *
 * @throws BantamError if that fails in this process: the others must be told ({@link Helpers.fail}).
 */
export async function followOrders(helpers: Helpers): Promise<void> {
  const follower = new Follower(helpers);
  for (;;) {
    const order = await helpers.receive();
    if (order.kind === 'end') break;
    try {
      await follower.carryOut(order);
    } catch (error) {
      // Rank 0 has it as well, and decides.
      if (!helpers.isShared(error)) throw error;
    }
  }
  await helpers.end();
}

class Follower {
  readonly #helpers: Helpers;
  readonly #sources = new Map<string, Source>();
  #model: InferenceModel | undefined;

  constructor(helpers: Helpers) {
    this.#helpers = helpers;
  }

  async carryOut(order: Exclude<Order, { kind: 'end' }>): Promise<void> {
    if (order.kind === 'load') {
      const { name, ...options } = order;
      this.#model?.loaded.model[Symbol.dispose]();
      this.#model = await loadTogether(name, { ...options, helpers: this.#helpers });
    } else if (order.kind === 'images') await this.#encodeImages(order);
    else await this.#encodeTexts(order);
  }

  get #loaded() {
    if (this.#model === undefined) throw new RangeError('Rank 0 has named no model.');
    return this.#model.loaded;
  }

  async #encodeImages(order: ImagesOrder): Promise<void> {
    const { spec, size, indices, digest, ...options } = order;
    const source = this.#sources.get(spec) ?? (await openSource(spec));
    this.#sources.set(spec, source);
    const chosen = indices === null ? {} : { indices };
    if (source.size !== size || keysDigest(source, indices) !== digest) {
      throw new BantamError(
        `"${spec}" has other records in rank ${this.#helpers.rank} than in rank 0; all processes need the same data.`,
      );
    }
    const quarantine = new Quarantine({ maxFraction: 1 });
    const shared = { ...options, ...chosen, quarantine, helpers: this.#helpers };
    const batches = embedImages(this.#loaded, source, shared);
    // Rank 0 uses the features.
    while ((await batches.next()).done !== true);
  }

  async #encodeTexts({ texts, ...options }: TextsOrder): Promise<void> {
    const features = await encodeTexts(this.#loaded, texts, { ...options, helpers: this.#helpers });
    features.dispose();
  }
}
