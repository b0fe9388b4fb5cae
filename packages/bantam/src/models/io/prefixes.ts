import { BantamError } from '../../base/errors.js';

/** Wrappers whose names trainers leave before those of the model. */
const WRAPPER = /^(?:(?:module|_orig_mod|model|clip|clip_model|net|model_ema|ema_model|ema)\.)*/;

/** Names by which a model's own are told: an image tower, in each of the layouts that are read. */
const TOWER = /^(?:visual\.|vision_model\.|image_encoder\.)/;

/** Wrappers of a moving average. */
const AVERAGED = /(?:^|\.)(?:model_ema|ema_model|ema)\./;

/**
 * Weights without the prefixes of wrappers: `module.` (DistributedDataParallel), `_orig_mod.`
 * (`torch.compile`), `model.` and `clip.` (Lightning and own classes), or several. What is outside the
 * wrapped model, such as a loss's own parameters, is left. Other prefixes (`network.`) are those of a
 * `logit_scale` with an image tower beside it. Of a model and its moving average, the average is taken.
 *
 * @param path - The file, for messages
 * @throws BantamError if there are several models.
 */
export function withoutPrefix<T>(weights: ReadonlyMap<string, T>, path: string): Map<string, T> {
  const prefixes = new Set<string>();
  for (const name of weights.keys()) {
    const [prefix] = WRAPPER.exec(name) ?? [''];
    if (TOWER.test(name.slice(prefix.length))) prefixes.add(prefix);
  }
  if (prefixes.size === 0) for (const prefix of otherPrefixes(weights)) prefixes.add(prefix);
  const averaged = [...prefixes].filter((prefix) => AVERAGED.test(prefix));
  const [prefix = '', another] = averaged.length > 0 ? averaged : [...prefixes];
  if (another !== undefined) {
    throw new BantamError(
      `${path} holds several models, under "${prefix}" and "${another}"; save the one to load in a file of its own.`,
    );
  }
  if (prefix === '') return new Map(weights);
  return new Map(
    [...weights].flatMap(([name, value]): [string, T][] =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}

/** Prefixes under which there is a CLIP model: its scale, and an image tower. */
function otherPrefixes(weights: ReadonlyMap<string, unknown>): string[] {
  const names = [...weights.keys()];
  return names.flatMap((name) => {
    const [, prefix = ''] = /^(.+\.)logit_scale$/.exec(name) ?? [];
    const hasTower = (other: string): boolean =>
      other.startsWith(prefix) && TOWER.test(other.slice(prefix.length));
    return prefix !== '' && names.some(hasTower) ? [prefix] : [];
  });
}
