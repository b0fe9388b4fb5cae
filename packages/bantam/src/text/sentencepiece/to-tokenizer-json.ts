import { at } from '../../base/at.js';
import type { TokenizerConfig, TokenizerJson } from '../tokenizer-json.js';
import { tokenTypes, SPACE, type SentencePieceModel } from './model.js';
import { wrapIds, type SentencePieceWrapper } from './wrappers.js';

type Part = Readonly<Record<string, unknown>>;

const replace = (pattern: object, content: string): Part => ({
  type: 'Replace',
  pattern,
  content,
});

function base64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  }
  return btoa(text);
}

function normalizerOf({ normalizer }: SentencePieceModel): Part {
  const { charsmap, removeExtraWhitespaces, escapeWhitespaces, addDummyPrefix } = normalizer;
  const escaped = [
    replace({ String: ' ' }, SPACE),
    // The prefix is left out where a text starts with a space already, SentencePiece adds it.
    ...(addDummyPrefix ? [replace({ Regex: `^${SPACE}` }, SPACE + SPACE)] : []),
  ];
  return {
    type: 'Sequence',
    normalizers: [
      ...(charsmap.length > 0
        ? [{ type: 'Precompiled', precompiled_charsmap: base64(charsmap) }]
        : []),
      ...(removeExtraWhitespaces
        ? [replace({ Regex: '^ +| +$' }, ''), replace({ Regex: ' {2,}' }, ' ')]
        : []),
      ...(escapeWhitespaces ? escaped : []),
    ],
  };
}

/** Pairs of tokens that make a token, those with the highest score first. */
function mergesOf({ tokens }: SentencePieceModel): [string, string][] {
  const scores = new Map(
    tokens
      .filter(({ type }) => type === tokenTypes.normal)
      .map(({ text, score }) => [text, score] as const),
  );
  const merges: { readonly score: number; readonly pair: [string, string] }[] = [];
  for (const [text, score] of scores) {
    for (let split = 1; split < text.length; split++) {
      const pair: [string, string] = [text.slice(0, split), text.slice(split)];
      if (scores.has(pair[0]) && scores.has(pair[1])) merges.push({ score, pair });
    }
  }
  return merges.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}

/**
 * A `tokenizer.json` and its configuration for programs that do not read `.model` files. Hugging
 * Face's library computes the same ids from it for ordinary texts; it differs where it goes by
 * graphemes and SentencePiece by the longest rule, and in texts that hold the names of special
 * tokens.
 */
export function toTokenizerJson(
  model: SentencePieceModel,
  wrapper: SentencePieceWrapper,
): { readonly tokenizer: TokenizerJson; readonly config: TokenizerConfig } {
  const { tokens, kind, byteFallback, normalizer } = model;
  const { vocabSize, before, after, padId, eotId, idOf, names } = wrapIds(model, wrapper);
  const vocab = Array.from({ length: vocabSize }, (): [string, number] => ['', 0]);
  for (const [index, { text, score }] of tokens.entries()) vocab[idOf(index)] = [text, score];
  for (const { id, text } of names) vocab[id] = [text, 0];
  const nameOf = (id: number): string => at(vocab, id)[0];
  const unknown = idOf(tokens.findIndex(({ type }) => type === tokenTypes.unknown));
  const special = new Set([unknown, padId, ...before, ...after, ...names.map(({ id }) => id)]);
  const added = new Map<number, boolean>([...special].map((id) => [id, true]));
  for (const [index, { type }] of tokens.entries()) {
    if (names.length > 0 && type === tokenTypes.control) continue;
    if (type === tokenTypes.control) added.set(idOf(index), true);
    if (type === tokenTypes.userDefined) added.set(idOf(index), false);
  }
  const frame = (id: number): Part => ({ SpecialToken: { id: nameOf(id), type_id: 0 } });
  const text = (id: 'A' | 'B'): Part => ({ Sequence: { id, type_id: 0 } });
  const { addDummyPrefix } = normalizer;
  const tokenizer: TokenizerJson & Part = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...added]
      .sort(([a], [b]) => a - b)
      .map(([id, isSpecial]) => ({
        id,
        content: nameOf(id),
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: isSpecial,
      })),
    normalizer: normalizerOf(model),
    pre_tokenizer: addDummyPrefix
      ? { type: 'Metaspace', replacement: SPACE, prepend_scheme: 'always', split: false }
      : null,
    post_processor:
      before.length + after.length === 0
        ? null
        : {
            type: 'TemplateProcessing',
            single: [...before.map(frame), text('A'), ...after.map(frame)],
            pair: [...before.map(frame), text('A'), text('B'), ...after.map(frame)],
            special_tokens: Object.fromEntries(
              [...before, ...after].map((id) => [
                nameOf(id),
                { id: nameOf(id), ids: [id], tokens: [nameOf(id)] },
              ]),
            ),
          },
    decoder: {
      type: 'Sequence',
      decoders: [
        replace({ String: SPACE }, ' '),
        ...(byteFallback ? [{ type: 'ByteFallback' }] : []),
        { type: 'Fuse' },
        ...(addDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model:
      kind === 'unigram'
        ? { type: 'Unigram', unk_id: unknown, vocab, byte_fallback: byteFallback }
        : {
            type: 'BPE',
            dropout: null,
            unk_token: nameOf(unknown),
            continuing_subword_prefix: null,
            end_of_word_suffix: null,
            fuse_unk: true,
            byte_fallback: byteFallback,
            ignore_merges: false,
            vocab: Object.fromEntries(vocab.map(([name], id) => [name, id])),
            merges: mergesOf(model),
          },
  };
  const config: TokenizerConfig & Part = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    unk_token: nameOf(unknown),
    pad_token: nameOf(padId),
    ...(eotId >= 0 && { eos_token: nameOf(eotId) }),
    ...(before[0] !== undefined && { bos_token: nameOf(before[0]) }),
    padding_side: 'right',
    clean_up_tokenization_spaces: false,
    bantam: { sentencepiece: wrapper },
  };
  return { tokenizer, config };
}
