import type { Command } from 'commander';
import { precisionName } from '../../base/precision-name.js';
import type { ModelRate } from '../../machine/index.js';
import type { ModelConfig, ModelSummary } from '../../models/index.js';
import { action, examples } from '../command.js';
import { formatBytes } from '../../base/format-bytes.js';
import { formatTable } from '../output.js';
import { fetchModel } from '../model-names.js';
import { Progress } from '../progress.js';
import { positiveInteger } from '../values.js';
import { addConvert } from './models-convert.js';
import { addInherit } from './models-inherit.js';
import { addInterpolate } from './models-interpolate.js';
import { addPull, listPretrained } from './models-pull.js';
import { addSoup } from './models-soup.js';
import { addUpcycle } from './models-upcycle.js';

/** `bantam models` and its subcommands */
export function addModels(program: Command): void {
  const models = program
    .command('models')
    .description(
      'list presets and published models; show, pull, convert, inherit, upcycle, interpolate or average models',
    );
  examples(models, [
    'bantam models',
    'bantam models list RN50 Mixer',
    'bantam models show ViT-B-32',
    'bantam models pull ViT-B-32/laion2b_s34b_b79k',
  ]);
  addList(models);
  addShow(models);
  addUpcycle(models);
  addInherit(models);
  addInterpolate(models);
  addSoup(models);
  addConvert(models);
  addPull(models);
}

interface ListFlags {
  readonly pretrained?: true;
  readonly tokens: number;
  readonly measure?: true;
  readonly batch: number;
}

type Row = ModelSummary & { readonly name: string; readonly rate?: ModelRate };

function addList(models: Command): void {
  const list = models
    .command('list', { isDefault: true })
    .description('presets with their parameters, FLOPs, and memory per training sample')
    .argument('[words...]', 'only presets whose names contain one of these')
    .option('--pretrained', 'published weights that can be named and pulled, instead of presets')
    .option('--tokens <n>', 'caption length for the FLOPs', positiveInteger, 16)
    .option('--measure', 'measure samples/s on this machine, a few seconds per preset')
    .option('--batch <n>', 'batch size of the measurement', positiveInteger, 32);
  examples(list, [
    'bantam models list convnext swin --json',
    'bantam models list Nano --measure',
    'bantam models list --pretrained ViT-B-32',
  ]);
  action(list, async ({ pretrained, tokens, measure, batch }: ListFlags, words: string[]) => {
    if (pretrained) return listPretrained(words);
    const { presets, summarizeModel } = await import('../../models/index.js');
    const { UsageError } = await import('../../base/errors.js');
    const wanted = (name: string) =>
      words.length === 0 || words.some((word) => name.toLowerCase().includes(word.toLowerCase()));
    const found = [...presets].filter(([name]) => wanted(name));
    if (found.length === 0) {
      throw new UsageError(
        `No preset has ${words.map((word) => `"${word}"`).join(' or ')} in its name; "bantam models" lists all ${presets.size}.`,
      );
    }
    const rows: Row[] = [];
    const progress = new Progress();
    for (const [name, config] of found) {
      const row = { name, ...summarizeModel(config, { captionTokens: tokens }) };
      if (measure) progress.update('measuring', name);
      rows.push(measure ? { ...row, rate: await measured(config, tokens, batch) } : row);
    }
    progress.done();
    return { text: listing(rows, tokens), json: rows };
  });
}

async function measured(config: ModelConfig, captionTokens: number, batchSize: number) {
  const { measureModelRate } = await import('../../machine/index.js');
  return measureModelRate(config, { captionTokens, batchSize });
}

const millions = (count: number) => (count / 1e6).toFixed(1);
const billions = (count: number) => (count / 1e9).toPrecision(3);

/** Samples/s with three digits, and no exponent for large ones. */
function perSecond(rate: number): string {
  return rate >= 100 ? rate.toFixed(0) : rate.toPrecision(3);
}

function listing(rows: readonly Row[], tokens: number): string {
  const cells = rows.map(({ name, embedDim, parameters, flops, activationBytes, rate }) => [
    name,
    String(embedDim),
    millions(parameters.image),
    millions(parameters.text + (parameters.decoder ?? 0)),
    billions(flops.image),
    billions(flops.text + (flops.decoder ?? 0)),
    formatBytes(activationBytes.image + activationBytes.text + (activationBytes.decoder ?? 0)),
    ...(rate === undefined ? [] : [rate.train, rate.images, rate.captions].map(perSecond)),
  ]);
  const head = ['preset', 'embed dim', 'image', 'text', 'image', 'caption', 'memory'];
  const units = ['', '', 'Mparams', 'Mparams', 'GFLOP', 'GFLOP', 'per sample'];
  const [first] = rows;
  if (first?.rate !== undefined) {
    head.push('training', 'images', 'captions');
    units.push('samples/s', 'per second', 'per second');
  }
  const notes = [
    `FLOPs of a forward pass with captions of ${tokens} tokens. Memory is for activations of one sample in fp32 training; bf16 takes about half.`,
    ...(rows.some(({ parameters }) => parameters.decoder !== undefined)
      ? ['The text columns include the caption decoder (coca_…).']
      : []),
    ...(first?.rate === undefined
      ? []
      : [
          `Measured in ${precisionName(first.rate.precision)}, batch size ${first.rate.batchSize}.`,
        ]),
  ];
  const right = head.map((_, column) => column).slice(1);
  return `${formatTable([head, units, ...cells], { right })}\n\n${notes.join('\n')}`;
}

interface ShowFlags {
  readonly depth: number;
  readonly tokens: number;
  readonly measure?: true;
  readonly batch: number;
}

function addShow(models: Command): void {
  const show = models
    .command('show')
    .description("print a model's configuration and module tree, and measure its speed")
    .argument(
      '<model>',
      'a preset, a model by any of its names, or a .json file of a configuration',
    )
    .option('--depth <n>', 'levels of the module tree to show', positiveInteger, 4)
    .option('--tokens <n>', 'caption length for the FLOPs', positiveInteger, 16)
    .option('--measure', 'measure samples/s on this machine, a few seconds')
    .option('--batch <n>', 'batch size of the measurement', positiveInteger, 32);
  examples(show, [
    'bantam models show ViT-B-32',
    'bantam models show RN50 --depth 2 --json',
    'bantam models show runs/first/model --measure',
  ]);
  action(show, async ({ depth, tokens, measure, batch }: ShowFlags, name: string) => {
    const { describeModel, formatModelStructure, presets, readModelConfig, summarizeModel } =
      await import('../../models/index.js');
    if (!presets.has(name)) await fetchModel(name, new Progress());
    const config = await readModelConfig(name);
    const structure = formatModelStructure(config, { depth });
    const summary = summarizeModel(config, { captionTokens: tokens });
    const { parameters } = summary;
    const rate = measure ? await measured(config, tokens, batch) : undefined;
    return {
      text: [
        `${name}: ${describeModel(config)}, ${millions(parameters.total)}M parameters`,
        JSON.stringify(config, null, 2),
        structure.join('\n'),
        ...(rate === undefined ? [] : [describeRate(rate)]),
      ].join('\n\n'),
      json: { name, config, ...summary, structure, ...(rate !== undefined && { rate }) },
    };
  });
}

function describeRate({ train, images, captions, precision, batchSize }: ModelRate): string {
  return `Training ${perSecond(train)} samples/s; inference ${perSecond(images)} images/s and ${perSecond(captions)} captions/s. Measured in ${precisionName(precision)}, batch size ${batchSize}.`;
}
