import { Option, type Command } from 'commander';
import type {
  Captioner,
  CaptionProgress,
  CaptionSummary,
  CocaCaptionerOptions,
  EndpointCaptionerOptions,
} from '../../captioning/index.js';
import { BantamError, UsageError } from '../../base/errors.js';
import { action, examples } from '../command.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { showOpening } from '../data-progress.js';
import { deviceOption } from '../inference.js';
import { stopOnInterrupt } from '../interrupt.js';
import { countOf } from '../../base/count-of.js';
import { formatCount, Progress } from '../progress.js';
import {
  atLeastZero,
  positiveInteger,
  positiveNumber,
  positiveFraction,
  wholeNumber,
} from '../values.js';

interface CaptionFlags
  extends CocaCaptionerOptions, Omit<EndpointCaptionerOptions, 'url' | 'model' | 'key'> {
  readonly data: string;
  readonly out: string;
  readonly count: number;
  readonly seed: number;
  readonly limit?: number;
  readonly model?: string;
  readonly endpoint?: string;
  readonly endpointModel?: string;
}

/** Options of one kind of captioner only. */
const ownOptions = {
  '--model': ['method', 'beams', 'device'],
  '--endpoint': ['endpointModel', 'prompt', 'imageSize', 'concurrency', 'timeout', 'retries'],
} as const;

/** `bantam data caption` */
export function addCaption(data: Command): void {
  const caption = data
    .command('caption')
    .description('write captions for the images of a data set with a model, to train on')
    .requiredOption(
      '--data <spec>',
      'the data set: csv:FILE, folder:DIRECTORY, wds:SHARDS or emoji',
    )
    .requiredOption('--out <file.jsonl>', 'file for the captions; a file that was begun is resumed')
    .option('--count <n>', 'captions per image', positiveInteger, 3)
    .option('--seed <n>', 'seed of the sampling', wholeNumber, 0)
    .option('--limit <n>', 'caption only the first images', positiveInteger)
    .option('--temperature <t>', 'sampling temperature (default: CoCa 1, server 0.8)', atLeastZero)
    .option('--top-k <n>', 'sample from the k most probable tokens (default: all)', positiveInteger)
    .option(
      '--top-p <p>',
      'nucleus sampling: the most probable tokens whose probabilities add up to p (default: CoCa 0.9)',
      positiveFraction,
    )
    .option(
      '--max-tokens <n>',
      'maximum length of a caption in tokens (default: CoCa 30, server 200)',
      positiveInteger,
    );
  for (const option of [...cocaOptions(), ...endpointOptions()]) caption.addOption(option);
  examples(caption, [
    'bantam data caption --data folder:photos --out captions.jsonl --model runs/coca/model --count 5',
    'bantam data caption --data csv:pairs.csv --out captions.jsonl --endpoint http://localhost:8080 --endpoint-model moondream2',
    'bantam train --data "csv:pairs.csv?captions=captions.jsonl&synthetic=0.5" --out runs/first --budget 30m',
  ]);
  action(caption, async (flags: CaptionFlags) => {
    checkCaptioner(flags);
    const { captionSource } = await import('../../captioning/index.js');
    const { openSource } = await import('../../data/index.js');
    const progress = new Progress();
    try {
      const source = await openSource(flags.data, { onOpen: showOpening(progress) });
      if (flags.model !== undefined) await fetchModel(flags.model, progress);
      const captioner = await createCaptioner(flags);
      const { out, count, seed, limit } = flags;
      const summary = await captionSource(source, captioner, {
        out,
        count,
        seed,
        ...(limit !== undefined && { limit }),
        signal: stopOnInterrupt('stopping after the captions in progress'),
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

function cocaOptions(): Option[] {
  return [
    new Option('--model <name>', `CoCa model that writes the captions: ${MODEL_NAMES}`),
    new Option('--method <name>', 'decoding method of CoCa (default: sample)').choices([
      'sample',
      'beam',
      'greedy',
    ]),
    new Option('--beams <n>', 'beam width of --method beam (default: 4)').argParser(
      positiveInteger,
    ),
    deviceOption(),
  ];
}

function endpointOptions(): Option[] {
  return [
    new Option(
      '--endpoint <url>',
      "server with OpenAI's chat interface on your machine, e.g. http://localhost:8080; its key is read from BANTAM_ENDPOINT_KEY",
    ),
    new Option('--endpoint-model <name>', "the vision model's name on the server"),
    new Option('--prompt <text>', 'prompt for the server (default: asks for one short sentence)'),
    new Option(
      '--image-size <pixels>',
      'longer side to which images are resized (default: 512)',
    ).argParser(positiveInteger),
    new Option('--concurrency <n>', 'concurrent requests (default: 2)').argParser(positiveInteger),
    new Option('--timeout <seconds>', 'time limit of a request (default: 120)').argParser(
      positiveNumber,
    ),
    new Option('--retries <n>', 'retries of a failed request (default: 5)').argParser(wholeNumber),
  ];
}

/** @throws UsageError unless one captioner is named, with options that it has. */
function checkCaptioner(flags: CaptionFlags): void {
  if ((flags.model === undefined) === (flags.endpoint === undefined)) {
    throw new UsageError(
      'bantam data caption needs one captioner: --model DIR for a CoCa model, or --endpoint URL with --endpoint-model NAME for a server.',
    );
  }
  const [named, other] =
    flags.endpoint === undefined
      ? (['--model', '--endpoint'] as const)
      : (['--endpoint', '--model'] as const);
  const foreign = ownOptions[other].find((option) => flags[option] !== undefined);
  if (foreign !== undefined) {
    const flag = foreign.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${flag} belongs to ${other}, not to ${named}; leave it out.`);
  }
  if (named === '--endpoint' && flags.endpointModel === undefined) {
    throw new UsageError('--endpoint needs the name of a model: --endpoint-model NAME.');
  }
}

async function createCaptioner(flags: CaptionFlags): Promise<Captioner> {
  const { EndpointCaptioner, loadCocaCaptioner } = await import('../../captioning/index.js');
  const { model: directory, endpoint: url = '', endpointModel: model = '', ...options } = flags;
  if (directory !== undefined) return loadCocaCaptioner(directory, options);
  const key = process.env.BANTAM_ENDPOINT_KEY;
  return new EndpointCaptioner({ ...options, url, model, ...(key !== undefined && { key }) });
}

function showCaptioning(progress: Progress): (state: CaptionProgress) => void {
  const start = Date.now();
  return ({ done, total }) => {
    const seconds = (Date.now() - start) / 1000;
    const rate = done > 0 && seconds > 0 ? ` · ${(done / seconds).toPrecision(2)} images/s` : '';
    progress.update('captioning', `${formatCount(done, total, start)}${rate}`);
  };
}

/** @throws BantamError for a run that was interrupted: its work is not done. */
function describe(summary: CaptionSummary, { data }: CaptionFlags): string {
  const { out, images, kept, written, captions, skipped, interrupted } = summary;
  if (interrupted) {
    throw new BantamError(
      `Captioning was interrupted after ${kept + written} of ${images} images, whose captions are in "${out}"; run the same command again to resume.`,
    );
  }
  const before = kept === 0 ? '' : ` (${countOf(kept, 'image')} captioned before)`;
  const broken = skipped.map(({ key, reason }) => `Skipped: ${key}: ${reason}`);
  const text = `${countOf(captions, 'caption')} of ${countOf(written, 'image')} written${before}: ${out}`;
  const join = data.includes('?') ? '&' : '?';
  const use = `Train on them with --data "${data}${join}captions=${out.replace(/[%&]/g, encodeURIComponent)}"`;
  return [...broken, text, use].join('\n');
}
