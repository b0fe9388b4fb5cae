import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, flag, group, index, oneOf, positive, setting } from '../../../base/schema.js';
import {
  textInputEntries,
  tokenizerEntries,
  type ConfigOf,
  type OpenClipTower,
} from '../../tower.js';
import { readMembers } from '../open-clip-members.js';

/** Settings of a text tower of BERT's kind. */
export const bertSchema = group({
  type: v.literal('bert'),
  ...textInputEntries,
  width: setting(count(), 768, "Length of a token's vector."),
  heads: setting(count(), 12, 'Number of attention heads.'),
  layers: setting(count(), 12, 'Number of layers.'),
  mlpRatio: setting(positive(), 4, "Hidden units of a layer's MLP as a multiple of the width."),
  normEps: setting(positive(), 1e-5, 'Added to the variance in layer norms.'),
  positions: setting(count(), 514, 'Rows of the table of positions.'),
  segments: setting(count(), 1, 'Rows of the table of segments, of which the first is used.'),
  padId: setting(index(), 1, 'Id of the padding, which no token sees.'),
  countsTokens: setting(
    flag(),
    true,
    "RoBERTa's positions: counted over tokens that are no padding, from `padId` + 1.",
  ),
  poolType: setting(
    oneOf('mean', 'first', 'pooler'),
    'mean',
    "The text's vector: the mean over its tokens, that of the first, or BERT's pooler of the first.",
  ),
  projType: setting(
    oneOf('mlp', 'linear', 'none'),
    'mlp',
    'Projection to the feature: two layers with GELU between, one, or none.',
  ),
  ...tokenizerEntries,
});

/** A text tower of BERT's kind. */
export type BertConfig = ConfigOf<typeof bertSchema>;

/** Sizes of a model that transformers has under a name. */
type Sizes = Pick<
  BertConfig,
  | 'vocabSize'
  | 'width'
  | 'heads'
  | 'layers'
  | 'normEps'
  | 'positions'
  | 'segments'
  | 'padId'
  | 'countsTokens'
>;

const base = { width: 768, heads: 12, layers: 12 };
const large = { width: 1024, heads: 16, layers: 24 };
const roberta = { normEps: 1e-5, positions: 514, segments: 1, padId: 1, countsTokens: true };
const bert = { normEps: 1e-12, positions: 512, segments: 2, padId: 0, countsTokens: false };

/** Sizes of the models that OpenCLIP's configurations name, as their own configurations have them. */
const known: ReadonlyMap<string, Sizes> = new Map([
  ['roberta-base', { ...base, ...roberta, vocabSize: 50265 }],
  ['roberta-large', { ...large, ...roberta, vocabSize: 50265 }],
  ['xlm-roberta-base', { ...base, ...roberta, vocabSize: 250002 }],
  ['xlm-roberta-large', { ...large, ...roberta, vocabSize: 250002 }],
  ['bert-base-uncased', { ...base, ...bert, vocabSize: 30522 }],
  ['bert-base-cased', { ...base, ...bert, vocabSize: 28996 }],
  ['bert-large-uncased', { ...large, ...bert, vocabSize: 30522 }],
  ['bert-base-multilingual-cased', { ...base, ...bert, vocabSize: 119547 }],
  ['bert-base-multilingual-uncased', { ...base, ...bert, vocabSize: 105879 }],
]);

/** OpenCLIP's names of the ways to pool, and Bantam's. */
const poolers = [
  ['mean_pooler', 'mean'],
  ['cls_pooler', 'pooler'],
  ['cls_last_hidden_state_pooler', 'first'],
] as const;

/** Members of a `text_cfg` that OpenCLIP does not look at beside the name of a model. */
const idle = [
  ...['vocab_size', 'width', 'heads', 'layers', 'mlp_ratio', 'ls_init_value', 'embed_cls'],
  ...['pad_id', 'eos_id', 'no_causal_mask', 'final_ln_after_pool', 'pool_type', 'proj_bias'],
  ...['proj_type', 'act_kwargs', 'norm_kwargs', 'block_type'],
];

/** OpenCLIP's `text_cfg` of a tower; null if it names no model of these sizes. */
export function bertToOpenClip(config: BertConfig): OpenClipTower | null {
  const own = new Map<string, unknown>(Object.entries(config));
  const found = [...known].find(
    ([, sizes]) =>
      config.mlpRatio === 4 &&
      Object.entries(sizes).every(([key, value]) => own.get(key) === value),
  );
  if (found === undefined) return null;
  const [name] = found;
  const [pooler = ''] = poolers.find(([, type]) => type === config.poolType) ?? [];
  const { contextLength, hfTokenizerName, tokenizerKwargs, projType } = config;
  return {
    context_length: contextLength,
    hf_model_name: name,
    hf_pooler_type: pooler,
    hf_proj_type: projType === 'none' ? '' : projType,
    ...(hfTokenizerName !== null && { hf_tokenizer_name: hfTokenizerName }),
    ...(tokenizerKwargs !== null && { tokenizer_kwargs: tokenizerKwargs }),
  };
}

/** Members of a `text_cfg` that names a model of transformers; null if it names none. */
export function bertFromOpenClip(
  tower: OpenClipTower,
  missing: string[],
): Record<string, unknown> | null {
  const {
    hf_model_name: name,
    hf_pooler_type: pooler = 'mean_pooler',
    hf_proj_type: projection = 'mlp',
    ...rest
  } = tower;
  if (typeof name !== 'string' || name === '') return null;
  const sizes = known.get(name.replace(/^(FacebookAI|google-bert)\//, ''));
  const [, poolType] = poolers.find(([theirs]) => theirs === pooler) ?? [];
  if (sizes === undefined) {
    missing.push(`text_cfg.hf_model_name ${JSON.stringify(name)}`);
  }
  if (poolType === undefined) missing.push(`text_cfg.hf_pooler_type ${JSON.stringify(pooler)}`);
  const { contextLength, hfTokenizerName, tokenizerKwargs } = bertSchema.entries;
  const entries = { contextLength, hfTokenizerName, tokenizerKwargs };
  const members = Object.entries(rest).filter(([key]) => !idle.includes(key));
  const read = readMembers(Object.fromEntries(members), 'text_cfg', {
    entries,
    unsupported: { tokenizer_mode: null },
    missing,
  });
  const projType = projection === '' || projection === null ? 'none' : projection;
  return { ...sizes, ...read, poolType, projType };
}

/** @throws BantamError if settings of the tower do not fit together. */
export function checkBert(config: BertConfig, embedDim: number): void {
  const { contextLength, countsTokens, padId, positions, projType, vocabSize, width } = config;
  const longest = positions - (countsTokens ? padId + 1 : 0);
  if (contextLength > longest) {
    throw new BantamError(
      `"contextLength" of "text" (${contextLength}) is more than its table of positions allows (${longest}).`,
    );
  }
  if (padId >= vocabSize) {
    throw new BantamError(
      `"padId" of "text" is ${padId}, but the ids of ${vocabSize} tokens end before it.`,
    );
  }
  if (projType === 'none' && width !== embedDim) {
    throw new BantamError(
      `Without a projection the width of "text" (${width}) is the length of the features; set "embedDim" (${embedDim}) to it, or "projType" to "linear".`,
    );
  }
}
