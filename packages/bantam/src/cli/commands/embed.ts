import type { Command } from 'commander';
import { action, examples } from '../command.js';
import { showEmbedding } from '../embed-progress.js';
import { loadToRun, precisionOption, type PrecisionFlags } from '../inference.js';
import { MODEL_NAMES, storedName } from '../model-names.js';
import { Progress } from '../progress.js';

interface EmbedFlags extends PrecisionFlags {
  readonly model: string;
  readonly data: string;
  readonly out: string;
}

/** `bantam embed` */
export function addEmbed(program: Command): void {
  const command = program
    .command('embed')
    .description('write the image and text embeddings of a data set to a file')
    .requiredOption('--model <name>', MODEL_NAMES)
    .requiredOption('--data <spec>', 'data set: csv:FILE, folder:DIRECTORY or emoji')
    .requiredOption('--out <file.safetensors>', 'file for the tensors image and text, and the keys')
    .addOption(precisionOption());
  examples(command, [
    'bantam embed --model runs/first/model --data folder:photos --out photos.safetensors',
    'bantam embed --model runs/first/model --data folder:photos --out photos.safetensors --precision int8',
  ]);
  action(command, async ({ model, data, out, ...flags }: EmbedFlags) => {
    const { openSource } = await import('../../data/index.js');
    const source = await openSource(data);
    const { disposeEmbeddings, embedSource, saveEmbeddings } = await import('../../eval/index.js');
    const progress = new Progress();
    const { loaded, precision } = await loadToRun(model, flags, progress);
    try {
      const embedded = await embedSource(loaded, source, {
        precision,
        onProgress: showEmbedding(progress),
      });
      saveEmbeddings(out, embedded, { spec: data, model: await storedName(model, out) });
      const { keys, quarantined } = embedded;
      disposeEmbeddings(embedded);
      const { embedDim } = loaded.config;
      const broken = quarantined.map(({ key, reason }) => `\nBroken: ${key}: ${reason}`);
      return {
        text: `Embedded ${keys.length} images in ${embedDim} dimensions: ${out}${broken.join('')}`,
        json: { out, size: keys.length, dimensions: embedDim, quarantined },
      };
    } finally {
      progress.done();
    }
  });
}
