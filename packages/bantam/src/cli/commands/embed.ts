import { Option, type Command } from 'commander';
import type { Helpers } from '../../eval/index.js';
import type { Comparison } from '../../search/image-stamp.js';
import { action, examples } from '../command.js';
import { showEmbedding } from '../embed-progress.js';
import { processesOption, withHelpers } from '../helpers.js';
import { deviceOption, loadToRun, precisionOption, type InferenceFlags } from '../inference.js';
import { MODEL_NAMES } from '../model-names.js';
import { countOf } from '../../base/count-of.js';
import type { Outcome } from '../output.js';
import { Progress } from '../progress.js';
import { describeUpdate } from '../update-summary.js';

interface EmbedFlags extends InferenceFlags {
  readonly model: string;
  readonly data: string;
  readonly out: string;
  readonly unchanged: Comparison;
  readonly fresh?: true;
  readonly processes?: number;
}

/** `--unchanged` of commands that bring vectors up to date. */
export function unchangedOption(): Option {
  return new Option(
    '--unchanged <how>',
    'facts by which an image counts as unchanged: time and size of its file, size, hash of its bytes, or key alone',
  )
    .choices(['time', 'size', 'hash', 'key'])
    .default('time');
}

/** `bantam embed` */
export function addEmbed(program: Command): void {
  const command = program
    .command('embed')
    .description(
      'write the image and text embeddings of a data set to a file, or bring them up to date',
    )
    .requiredOption('--model <name>', MODEL_NAMES)
    .requiredOption('--data <spec>', 'data set: csv:FILE, images:DIRECTORY, wds:SHARDS, …')
    .requiredOption('--out <file.safetensors>', 'file for the tensors image and text, and the keys')
    .addOption(unchangedOption())
    .option('--fresh', 'embed everything anew')
    .addOption(precisionOption())
    .addOption(deviceOption())
    .addOption(processesOption());
  examples(command, [
    'bantam embed --model runs/first/model --data images:photos --out photos.safetensors',
    'bantam embed --model runs/first/model --data folder:photos --out photos.safetensors --precision int8',
    'bantam embed --model ViT-B-32/openai --data images:photos --out photos.safetensors --processes 2',
  ]);
  action(command, ({ processes, ...flags }: EmbedFlags) =>
    withHelpers(processes, (helpers) => embed(flags, helpers)),
  );
}

async function embed(
  { model, data, out, unchanged, fresh, ...flags }: EmbedFlags,
  helpers: Helpers | undefined,
): Promise<Outcome> {
  const { openSource } = await import('../../data/index.js');
  const source = await openSource(data);
  const { embedToFile } = await import('../../search/index.js');
  const progress = new Progress();
  const loaded = await loadToRun(model, { ...flags, helpers }, progress);
  try {
    const summary = await embedToFile(loaded, source, out, {
      unchanged,
      helpers,
      ...(fresh && { fresh }),
      onProgress: showEmbedding(progress),
    });
    const dimensions = loaded.loaded.config.embedDim;
    const { size, hasCaptions, ...changes } = summary;
    return {
      text: `Embedded ${countOf(size, 'image')} in ${dimensions} dimensions: ${out}\n${describeUpdate(changes)}`,
      json: { out, size, dimensions, captions: hasCaptions, ...changes },
    };
  } finally {
    progress.done();
  }
}
