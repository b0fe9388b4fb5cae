import { Option, type Command } from 'commander';
import type { Captioner, CaptionProgress, CaptionSummary } from '../../data/index.js';
import { BantamError, UsageError } from '../../errors.js';
import { does, examples } from '../command.js';
import { showOpening } from '../data-progress.js';
import { stopOnInterrupt } from '../interrupt.js';
import { formatCount, Progress } from '../progress.js';
import { atLeastZero, positiveInteger, positiveNumber, wholeNumber } from '../values.js';

interface CaptionFlags {
  readonly data: string;
  readonly out: string;
  readonly count: number;
  readonly seed: number;
  readonly limit?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly maxTokens?: number;
  readonly endpoint?: string;
  readonly endpointModel?: string;
  readonly prompt?: string;
  readonly imageSize?: number;
  readonly concurrency?: number;
  readonly timeout?: number;
  readonly retries?: number;
}

/** `bantam data caption` */
export function addCaption(data: Command): void {
  const caption = data
    .command('caption')
    .description('write captions of the pictures of a data set with a model, to train on')
    .requiredOption(
      '--data <spec>',
      'the data set: csv:FILE, folder:DIRECTORY, wds:SHARDS or emoji',
    )
    .requiredOption(
      '--out <file.jsonl>',
      'file for the captions; one that was begun is gone on with',
    )
    .option('--count <n>', 'captions of each picture', positiveInteger, 3)
    .option('--seed <n>', 'seed of the sampling', wholeNumber, 0)
    .option('--limit <n>', 'caption only the first pictures', positiveInteger)
    .option('--temperature <t>', 'randomness of the words (default: 0.8)', atLeastZero)
    .option('--top-k <n>', 'choose among the likeliest words', positiveInteger)
    .option('--top-p <share>', 'choose among words that have this share together', positiveNumber)
    .option('--max-tokens <n>', 'longest answer (default: 200)', positiveInteger);
  for (const option of endpointOptions()) caption.addOption(option);
  examples(caption, [
    'bantam data caption --data csv:pairs.csv --out captions.jsonl --endpoint http://localhost:8080 --endpoint-model moondream2',
    'bantam train --model ViT-Nano-8-64 --data "csv:pairs.csv?captions=captions.jsonl&synthetic=0.5" --out runs/first --budget 30m',
  ]);
  does(caption, async (flags: CaptionFlags) => {
    const { captionSource, openSource } = await import('../../data/index.js');
    const captioner = await createCaptioner(flags);
    const progress = new Progress();
    try {
      const source = await openSource(flags.data, { onOpen: showOpening(progress) });
      const { out, count, seed, limit } = flags;
      const summary = await captionSource(source, captioner, {
        out,
        count,
        seed,
        ...(limit !== undefined && { limit }),
        signal: stopOnInterrupt('ending after the captions that are written'),
        onProgress: showCaptioning(progress),
        onNote: (note) => {
          progress.note(note);
        },
      });
      return { text: describe(summary, flags), json: summary };
    } finally {
      progress.done();
    }
  });
}

function endpointOptions(): Option[] {
  return [
    new Option(
      '--endpoint <url>',
      "server with OpenAI's chat interface on your machine, e.g. http://localhost:8080; its key is read from BANTAM_ENDPOINT_KEY",
    ),
    new Option('--endpoint-model <name>', "the vision model's name on the server"),
    new Option('--prompt <text>', 'what the server is asked (default: for one short sentence)'),
    new Option(
      '--image-size <pixels>',
      'longer side that pictures are shrunk to (default: 512)',
    ).argParser(positiveInteger),
    new Option('--concurrency <n>', 'pictures asked about at once (default: 2)').argParser(
      positiveInteger,
    ),
    new Option('--timeout <seconds>', 'how long an answer may take (default: 120)').argParser(
      positiveNumber,
    ),
    new Option(
      '--retries <n>',
      'repetitions of a request that the server did not take (default: 5)',
    ).argParser(wholeNumber),
  ];
}

async function createCaptioner(flags: CaptionFlags): Promise<Captioner> {
  const { endpoint: url, endpointModel: model } = flags;
  if (url === undefined || model === undefined) {
    throw new UsageError('bantam data caption needs --endpoint URL and --endpoint-model NAME.');
  }
  const { EndpointCaptioner } = await import('../../data/index.js');
  const { prompt, temperature, topK, topP, maxTokens } = flags;
  const { imageSize, concurrency, timeout, retries } = flags;
  const key = process.env.BANTAM_ENDPOINT_KEY;
  return new EndpointCaptioner({
    url,
    model,
    ...(key !== undefined && { key }),
    ...(prompt !== undefined && { prompt }),
    ...(temperature !== undefined && { temperature }),
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(imageSize !== undefined && { imageSize }),
    ...(concurrency !== undefined && { concurrency }),
    ...(timeout !== undefined && { timeout }),
    ...(retries !== undefined && { retries }),
  });
}

function showCaptioning(progress: Progress): (state: CaptionProgress) => void {
  const start = Date.now();
  return ({ done, total }) => {
    const seconds = (Date.now() - start) / 1000;
    const rate = done > 0 && seconds > 0 ? ` · ${(done / seconds).toPrecision(2)} pictures/s` : '';
    progress.update('captioning', `${formatCount(done, total, start)}${rate}`);
  };
}

/** @throws BantamError for a run that was interrupted: its work is not done. */
function describe(summary: CaptionSummary, { data }: CaptionFlags): string {
  const { out, pictures, kept, written, captions, skipped, interrupted } = summary;
  if (interrupted) {
    throw new BantamError(
      `Captioning was interrupted after ${kept + written} of ${pictures} pictures, whose captions are in "${out}"; run the same command again to go on.`,
    );
  }
  const before = kept === 0 ? '' : ` (${kept} pictures had some)`;
  const broken = skipped.map(({ key, reason }) => `Skipped: ${key}: ${reason}`);
  const text = `${captions} captions of ${written} pictures written${before}: ${out}`;
  const join = data.includes('?') ? '&' : '?';
  const use = `Train on them with --data "${data}${join}captions=${out.replace(/[%&]/g, encodeURIComponent)}"`;
  return [...broken, text, use].join('\n');
}
