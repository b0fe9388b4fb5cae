import { completeHub, correctForHub, Hub } from './hub.js';
import type { PlainEncoder } from './plain-encoder.js';
import { checkId, tokenName, type SpecialToken, type TokenizerFiles } from './tokenizer-json.js';

/** Finds out what the post-processor adds, by encoding a probe with it and without. */
function findFrame(hub: Hub): Pick<PlainEncoder, 'before' | 'after'> {
  const full = hub.encode('a').ids;
  const own = hub.encode('a', { add_special_tokens: false }).ids;
  const start = full.findIndex((_, i) => own.every((id, j) => full[i + j] === id));
  if (start < 0) return { before: [], after: [] };
  return { before: full.slice(0, start), after: full.slice(start + own.length) };
}

/** A tokenizer of Hugging Face's kinds, computed by their JavaScript library. */
export function hubEncoder({ tokenizer, config }: TokenizerFiles): PlainEncoder {
  const hub = new Hub(correctForHub(tokenizer), { ...config, clean_up_tokenization_spaces: false });
  completeHub(hub);
  const frame = findFrame(hub);
  const highest = [...hub.get_vocab()].reduce(
    (most, [token, id]) => Math.max(most, checkId(id, JSON.stringify(token))),
    -1,
  );
  const idOf = (...keys: SpecialToken[]): number | undefined => {
    const name = keys.map((key) => tokenName(config[key])).find((token) => token !== undefined);
    return name === undefined ? undefined : hub.token_to_id(name);
  };
  return {
    ...frame,
    vocabSize: highest + 1,
    sotId: frame.before[0] ?? idOf('bos_token', 'cls_token') ?? -1,
    eotId: frame.after.at(-1) ?? idOf('eos_token', 'sep_token') ?? -1,
    padId: idOf('pad_token') ?? tokenizer.padding?.pad_id ?? 0,
    encode: (text) => hub.encode(text, { add_special_tokens: false }).ids,
    decode: (ids) => hub.decode(ids, { skip_special_tokens: true }),
  };
}
