import { Option, type Command } from 'commander';
import type { InheritedModel, InheritMethod, InheritedPart } from '../../models/index.js';
import { action, examples } from '../command.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { Progress } from '../progress.js';
import { formatPercent, formatTable } from '../output.js';
import { namedValues, wholeNumber } from '../values.js';

interface InheritFlags {
  readonly model: string;
  readonly out: string;
  readonly method: InheritMethod;
  readonly set?: Readonly<Record<string, string>>;
  readonly seed: number;
}

/** `bantam models inherit` */
export function addInherit(models: Command): void {
  const command = models
    .command('inherit')
    .description(
      'initialise a smaller model, or one of other blocks, with weights of a trained one',
    )
    .argument('<teacher>', `trained model: ${MODEL_NAMES}`)
    .requiredOption(
      '--model <name>',
      'the student: a preset, a model directory whose configuration it takes, or a .json file',
    )
    .requiredOption('--out <dir>', 'model directory to write')
    .addOption(
      new Option(
        '--method <name>',
        'module: modules that both models have; tinyclip: layers at regular intervals, and leading slices of their weights',
      )
        .choices(['module', 'tinyclip'])
        .default('module'),
    )
    .option(
      '--set <name=value>',
      'change a setting of the student, e.g. model.text.layers=6; repeatable',
      namedValues,
    )
    .option('--seed <n>', 'seed of weights that are not inherited', wholeNumber, 0);
  examples(command, [
    'bantam models inherit mobileclip-s0 --model SiCLIP-S0 --out student',
    'bantam models inherit vit-b-16 --model ViT-S-16 --method tinyclip --out small',
    'bantam train --init student --freeze-inherited --data csv:pairs.csv --out runs/student --budget 2h',
  ]);
  action(command, async ({ model, out, method, set = {}, seed }: InheritFlags, teacher: string) => {
    const { Generator } = await import('@bantam/torch');
    const { inheritedParts, inheritModel, readModelConfig } = await import('../../models/index.js');
    const { changeModel } = await import('../settings.js');
    await fetchModel(teacher, new Progress());
    const result = await inheritModel({
      teacher,
      model: await readModelConfig(model),
      adapt: (config) => changeModel(config, set),
      method,
      out,
      generator: new Generator({ seed }),
    });
    const parts = inheritedParts(result);
    const sizes = sizesOf(parts);
    return {
      text: [report(parts), layerLines(result), summary(sizes, out)].filter(Boolean).join('\n\n'),
      json: { out, teacher, sizes, parts, ...result },
    };
  });
}

type Sizes = Record<InheritedPart['start'] | 'total', number>;

function sizesOf(parts: readonly InheritedPart[]): Sizes {
  const sizes = { inherited: 0, sliced: 0, fresh: 0, total: 0 };
  for (const { start, size } of parts) {
    sizes[start] += size;
    sizes.total += size;
  }
  return sizes;
}

/** A line for each part; consecutive layers with the same start share a line. */
function report(parts: readonly InheritedPart[]): string {
  const { total } = sizesOf(parts);
  const rows: { name: string; last: string; start: string; size: number }[] = [];
  for (const { name, start, size } of parts) {
    const [, list, position] = /^(.+)\.(\d+)$/.exec(name) ?? [];
    const before = rows.at(-1);
    const follows = before !== undefined && list !== undefined && before.start === start;
    if (follows && /^(.+)\.\d+$/.exec(before.name)?.[1] === list) {
      before.last = ` … ${position}`;
      before.size += size;
    } else rows.push({ name, last: '', start, size });
  }
  const cells = rows.map(({ name, last, start, size }) => [
    `${name}${last}`,
    size.toLocaleString('en'),
    formatPercent(size / total),
    start,
  ]);
  return formatTable([['part', 'parameters', 'fraction', 'start'], ...cells], { right: [1, 2] });
}

function layerLines({ layers }: InheritedModel): string {
  return layers
    .map(({ name, from, of }) => `${name}: layers ${from.join(', ')} of the teacher's ${of}`)
    .join('\n');
}

function summary({ inherited, sliced, fresh, total }: Sizes, out: string): string {
  const fractions = Object.entries({ inherited, sliced, fresh })
    .filter(([, size]) => size > 0)
    .map(([start, size]) => `${formatPercent(size / total)} ${start}`);
  return `Of ${(total / 1e6).toFixed(2)}M parameters ${fractions.join(', ')}: ${out}`;
}
