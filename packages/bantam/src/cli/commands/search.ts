import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { DataRecord } from '../../data/index.js';
import { BantamError } from '../../base/errors.js';
import { action, examples } from '../command.js';
import { formatTable } from '../output.js';
import { fetchModel, MODEL_NAMES, namedModel } from '../model-names.js';
import { Progress } from '../progress.js';
import { positiveInteger } from '../values.js';

interface SearchFlags {
  readonly model?: string;
  readonly index: string;
  readonly top: number;
}

/** The index that the quickstart writes. */
const defaultIndex = join('quickstart', 'index.safetensors');

/** `bantam search` */
export function addSearch(program: Command): void {
  const command = program
    .command('search')
    .description('find the images that match a text best')
    .argument('<query...>', 'text to search for')
    .option('--index <file.safetensors>', 'embeddings written by bantam embed', defaultIndex)
    .option('--model <name>', `${MODEL_NAMES} (default: the model of the index)`)
    .option('--top <n>', 'number of images to find', positiveInteger, 8);
  examples(command, [
    'bantam search "happy cat"',
    'bantam search --index photos.safetensors "a dog on the beach"',
  ]);
  action(command, async ({ model, index: path, top }: SearchFlags, words: string[]) => {
    if (path === defaultIndex && !existsSync(path)) {
      throw new BantamError(
        `There is no ${defaultIndex} here; run "bantam quickstart", or name a file with --index.`,
      );
    }
    const { loadForInference, openEmbeddings, search } = await import('../../eval/index.js');
    const { index, model: embedder, spec } = openEmbeddings(path);
    if (model === undefined && embedder === undefined) {
      throw new BantamError(`${path} does not say which model made it; name it with --model.`);
    }
    const name = model ?? (await namedModel(embedder ?? '', path));
    await fetchModel(name, new Progress());
    const { loaded } = await loadForInference(name);
    const query = words.join(' ');
    const [hits = []] = await search(loaded, index, [query], { k: top });
    const records = await recordsOf(spec, new Set(hits.map(({ key }) => key)));
    const results = hits.map(({ key, score }) => ({
      key,
      score,
      ...describeRecord(records.get(key)),
    }));
    const rows = results.map(({ key, score, caption = '', emoji = '' }) => {
      return [score.toFixed(3), key, `${emoji} ${caption}`.trim()];
    });
    return { text: formatTable(rows), json: { query, index: path, results } };
  });
}

/** Records of the hits; none if their source is gone. */
async function recordsOf(
  spec: string | undefined,
  keys: ReadonlySet<string>,
): Promise<Map<string, DataRecord>> {
  const found = new Map<string, DataRecord>();
  if (spec === undefined) return found;
  const { openSource } = await import('../../data/index.js');
  const source = await openSource(spec).catch((error: unknown) => {
    // Keys and scores are worth printing without it.
    if (error instanceof BantamError) return undefined;
    throw error;
  });
  for (let index = 0; index < (source?.size ?? 0); index++) {
    const record = source?.record(index);
    if (record !== undefined && keys.has(record.key)) found.set(record.key, record);
  }
  return found;
}

/** A record's first caption, and the emoji that it shows if it is one. */
export function describeRecord(record: DataRecord | undefined): {
  caption?: string;
  emoji?: string;
} {
  if (record === undefined) return {};
  const [caption = ''] = record.captions;
  // Other data may have a column of this name, of colors for example.
  const { hexcode, concept, skin } = record.meta;
  if (hexcode === undefined || concept === undefined || skin === undefined) return { caption };
  const points = hexcode.split('-').map((point) => Number.parseInt(point, 16));
  return { caption, emoji: String.fromCodePoint(...points) };
}
