import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { BantamError, UsageError } from '../../base/errors.js';
import type { Condition, Hit, IndexRecord, QueryPart, SearchIndex } from '../../search/index.js';
import { action, examples } from '../command.js';
import { formatTable } from '../output.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { finiteNumber, listed, nameList, positiveFraction, positiveInteger } from '../values.js';
import { Progress } from '../progress.js';

interface SearchFlags {
  readonly model?: string;
  readonly index: string;
  readonly top: number;
  readonly text?: readonly string[];
  readonly image?: readonly string[];
  readonly like?: readonly string[];
  readonly not?: readonly string[];
  readonly notImage?: readonly string[];
  readonly where?: readonly string[];
  readonly columns?: readonly string[];
  readonly minScore?: number;
  readonly falsePositives?: number;
  readonly exact?: true;
}

/** The index that the quickstart writes. */
const defaultIndex = join('quickstart', 'index.safetensors');

/** `bantam search` */
export function addSearch(program: Command): void {
  const command = program
    .command('search')
    .description('find the images that match texts, images, or both')
    .argument('[query...]', 'text to search for')
    .option('--index <path>', 'folder of bantam index, or file of bantam embed', defaultIndex)
    .option('--model <name>', `${MODEL_NAMES} (default: the model of the index)`)
    .option('--top <n>', 'number of images to find', positiveInteger, 8)
    .option('--text <text[@weight]>', 'a further text; repeatable', listed)
    .option('--image <file[@weight]>', 'an image to find similar ones; repeatable', listed)
    .option('--like <key[@weight]>', 'an image of the index as example; repeatable', listed)
    .option(
      '--not <text[@weight]>',
      'a text that results shall not match (weight 0.25); repeatable',
      listed,
    )
    .option(
      '--not-image <file[@weight]>',
      'an image that results shall not be like; repeatable',
      listed,
    )
    .option(
      '--where <condition>',
      'COLUMN=VALUE, or !=, <, <=, >, >=, ~ (contains); repeatable',
      listed,
    )
    .option(
      '--columns <names>',
      'columns to print, with commas (default: the caption, and those of --where)',
      nameList,
    )
    .option('--min-score <cosine>', 'leave out images below this cosine', finiteNumber)
    .option(
      '--false-positives <rate>',
      'leave out images below the score that unrelated ones pass at this rate, such as 0.001',
      positiveFraction,
    )
    .option('--exact', 'compare with every image even if the index has a graph');
  examples(command, [
    'bantam search "happy cat"',
    'bantam search --index shop "summer dress" --not red --where "price<50" --where "season=Summer|Spring"',
    'bantam search --index shop "summer dress" --columns price,season',
    'bantam search --index shop --image photo.jpg --text "in leather@0.5" --false-positives 0.001',
  ]);
  action(command, async (flags: SearchFlags, words: string[]) => {
    const { model, index: path, top, minScore, falsePositives, exact } = flags;
    const parts = queryParts(words.join(' '), flags);
    if (path === defaultIndex && !existsSync(path)) {
      throw new BantamError(
        `There is no ${defaultIndex} here; run "bantam quickstart", or name an index with --index.`,
      );
    }
    const { openIndex, parseCondition, search } = await import('../../search/index.js');
    const where = (flags.where ?? []).map(parseCondition);
    using index = await openIndex(path, { ...(exact && { exact }) });
    const columns = flags.columns ?? [];
    if (columns.length > 0 && !index.hasMetadata) {
      throw new BantamError(
        `${path} is a file of embeddings, which has no columns; make an index with "bantam index", or leave out --columns.`,
      );
    }
    index.checkColumns(columns);
    const { loadForInference } = await import('../../eval/index.js');
    const name = model ?? (await modelOf(index, path));
    await fetchModel(name, new Progress());
    const embedder = await loadForInference(name);
    const hits = await search(embedder, index, parts, {
      k: top,
      where,
      ...(minScore !== undefined && { minScore }),
      ...(falsePositives !== undefined && { falsePositiveRate: falsePositives }),
    });
    const records = await recordsOf(index, hits);
    const results = hits.map((hit) => ({ ...hit, ...describeRecord(records.get(hit.key)) }));
    const shown = shownColumns(flags.columns, where);
    const rows = results.map((result) => [
      result.score.toFixed(3),
      result.key,
      ...shown.map((name) => valueOf(result, name)),
      ...(flags.columns === undefined
        ? [`${result.emoji ?? ''} ${result.caption ?? ''}`.trim()]
        : []),
    ]);
    const caption = flags.columns === undefined ? [''] : [];
    if (shown.length > 0 && rows.length > 0) rows.unshift(['', '', ...shown, ...caption]);
    const none = 'No image is above the cut-off or passes the conditions.';
    return {
      text: rows.length === 0 ? none : formatTable(rows),
      json: { query: words.join(' '), parts, index: path, results },
    };
  });
}

/** Columns to print: those that were asked for, else those that conditions are on. */
function shownColumns(
  asked: readonly string[] | undefined,
  where: readonly Condition[],
): readonly string[] {
  if (asked !== undefined) return asked;
  const named = where
    .map(({ column }) => column)
    .filter((name) => !['key', 'caption'].includes(name));
  return [...new Set(named)];
}

/** A result's value in a column; the metadata come first, as in conditions. */
function valueOf(result: Partial<Omit<IndexRecord, 'stamp'>>, name: string): string {
  const { meta = {}, key, caption, label } = result;
  const own: Readonly<Record<string, string | undefined>> = { key, caption, label };
  return (meta[name] ?? own[name] ?? '').replaceAll(/\s+/g, ' ');
}

/** Weight of a "not that" unless it is named. */
const defaultAversion = 0.25;

function queryParts(
  words: string,
  { text = [], image = [], like = [], not = [], notImage = [] }: SearchFlags,
): readonly QueryPart[] {
  const parts: QueryPart[] = [
    ...(words === '' ? [] : [{ text: words }]),
    ...text.map((item) => weighted(item, (rest) => ({ text: rest }))),
    ...image.map((item) => weighted(item, (rest) => ({ image: rest }))),
    ...like.map((item) => weighted(item, (rest) => ({ key: rest }))),
  ];
  if (parts.length === 0) {
    throw new UsageError('Say what to search for: a text, --image FILE or --like KEY.');
  }
  const avoided = [
    ...not.map((item) => weighted(item, (rest) => ({ text: rest }), defaultAversion)),
    ...notImage.map((item) => weighted(item, (rest) => ({ image: rest }), defaultAversion)),
  ];
  return [...parts, ...avoided.map((part) => ({ ...part, weight: -(part.weight ?? 1) }))];
}

type PartBody = { text: string } | { image: string } | { key: string };

/** Reads `VALUE@WEIGHT`; the weight may be left out. */
function weighted(item: string, make: (rest: string) => PartBody, usual?: number): QueryPart {
  const [, rest = item, weight] = /^(.+)@(\d*\.?\d+)$/s.exec(item) ?? [];
  const value = weight === undefined ? usual : Number(weight);
  return { ...make(rest), ...(value !== undefined && { weight: value }) };
}

async function modelOf({ model }: SearchIndex, path: string): Promise<string> {
  if (model.path === undefined) {
    throw new BantamError(`${path} does not say which model made it; name it with --model.`);
  }
  const { namedModel } = await import('../../search/index.js');
  return namedModel(model.path, path.endsWith('.safetensors') ? dirname(path) : path);
}

/** Records of the hits: the index's own, or the source's for a file, which has no metadata. */
async function recordsOf(
  index: SearchIndex,
  hits: readonly Hit[],
): Promise<ReadonlyMap<string, IndexRecord>> {
  const found = new Map(hits.map(({ key, row }) => [key, index.record(row)]));
  const { spec } = index;
  if (spec === undefined || index.hasMetadata) return found;
  const { openSource } = await import('../../data/index.js');
  const source = await openSource(spec).catch((error: unknown) => {
    // Keys and scores are worth printing without it.
    if (error instanceof BantamError) return undefined;
    throw error;
  });
  for (let record = 0; record < (source?.size ?? 0); record++) {
    const { key, captions, meta } = source?.record(record) ?? {};
    if (key === undefined || !found.has(key)) continue;
    const [caption] = captions ?? [];
    found.set(key, { key, ...(caption !== undefined && { caption }), ...(meta && { meta }) });
  }
  return found;
}

/** A record's caption, label and metadata, and the emoji that it shows if it is one. */
export function describeRecord(
  record: IndexRecord | undefined,
): Partial<Pick<IndexRecord, 'caption' | 'label' | 'meta'>> & { readonly emoji?: string } {
  if (record === undefined) return {};
  const { caption, label, meta = {} } = record;
  const own = { ...(caption !== undefined && { caption }), ...(label !== undefined && { label }) };
  // Other data may have columns of these names, of colors for example.
  const { hexcode = '', concept = '', skin } = meta;
  if (skin === undefined || !codePoints.test(hexcode) || !codePoints.test(concept)) {
    return { ...own, ...(Object.keys(meta).length > 0 && { meta }) };
  }
  const points = hexcode.split('-').map((point) => Number.parseInt(point, 16));
  return { ...own, emoji: String.fromCodePoint(...points), meta };
}

/** Code points of an emoji, as the metadata of the emoji data have them. */
const codePoints = /^(?:1?[0-9A-F]{4})(?:-(?:1?[0-9A-F]{4}|E[0-9A-F]{4}))*$/;
