import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { equal, Generator } from '@bantam/torch';
import {
  createModel,
  loadModel,
  modelConfig,
  preprocessOf,
  saveModel,
  type InheritanceRecord,
  type ModelConfig,
} from '../dist/models/index.js';
import { loadTokenizer } from '../dist/text/index.js';
import { bantam, bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1' };
const options = { cwd, env };
const at = (name: string): string => join(cwd, name);

const vision = { imageSize: 32, widths: [8, 8, 16, 32], depths: [1, 1, 1, 2], headWidth: 8 };
const text = { width: 32, heads: 2, layers: 2 };

function small(preset: string): ModelConfig {
  return modelConfig(preset, { embedDim: 16, vision, text: { ...text, sharedLayers: 1 } });
}

/** A teacher with a tokenizer and an unusual preprocessing. */
async function saveTeacher(directory: string): Promise<void> {
  const trained = fileURLToPath(new URL('../fixtures/text/trained', import.meta.url));
  const tokenizer = await loadTokenizer(trained, { contextLength: 16 });
  const { vocabSize, contextLength } = tokenizer;
  const preset = small('MobileCLIP-Nano-64');
  const config = { ...preset, text: { ...preset.text, vocabSize, contextLength } };
  using model = createModel(config, { generator: new Generator({ seed: 0 }) });
  const preprocess = { ...preprocessOf(config), mean: [0.5, 0.5, 0.5] as const };
  await saveModel(directory, { config, model, tokenizer, preprocess });
}

before(async () => {
  await drawShapes(at('shapes'), { each: 2 });
  await saveTeacher(at('teacher'));
  writeFileSync(at('student.json'), JSON.stringify(small('SiCLIP-Nano-64')));
});
after(() => rm(cwd, { recursive: true }));

describe('bantam models inherit', () => {
  it('writes a student that only learns what is new', async () => {
    const args = ['teacher', '--model', 'student.json', '--out', 'student'];
    const { status, stdout } = await bantam(['models', 'inherit', ...args], options);
    assert.equal(status, 0);
    assert.match(stdout, /^visual\.trunk\.stem +[\d,]+ +\d+\.\d % +inherited$/m);
    assert.match(stdout, /^visual\.trunk\.stages\.0 … 2 +[\d,]+ +\d+\.\d % +inherited$/m);
    assert.match(stdout, /^visual\.trunk\.stages\.3\.blocks +[\d,]+ +\d+\.\d % +fresh$/m);
    assert.match(stdout, /^Of 0\.\d\dM parameters \d+\.\d % inherited, \d+\.\d % fresh: student$/m);

    const [teacher, student] = [await loadModel(at('teacher')), await loadModel(at('student'))];
    const { vocabSize, contextLength } = teacher.config.text;
    assert.equal(student.config.text.vocabSize, vocabSize);
    assert.equal(student.config.text.contextLength, contextLength);
    assert.equal(student.tokenizer.vocabSize, teacher.tokenizer.vocabSize);
    assert.deepEqual(student.preprocess, teacher.preprocess);
    const record = student.info.inheritance as InheritanceRecord;
    assert.equal(record.from, 'teacher');
    assert.equal(record.method, 'module');
    assert.deepEqual(record.fresh, ['visual.trunk.stages.3.blocks', 'text.transformer']);

    await bantamJson(
      [
        ...['train', '--init', 'student', '--freeze-inherited', '--data', 'folder:shapes'],
        ...['--out', 'run', '--budget', '48samples', '--precision', 'fp32'],
        ...['--set', 'train.batchSize=12', '--set', 'train.workers=0', '--set', 'train.lr=0.01'],
      ],
      options,
    );
    const config = JSON.parse(readFileSync(at('run/config.json'), 'utf8')) as {
      train: { freeze: string[] };
      preprocess: unknown;
    };
    assert.deepEqual(
      config.train.freeze,
      record.inherited.filter((name) => name !== 'logit_scale'),
    );
    assert.deepEqual(config.preprocess, teacher.preprocess);
    const { model } = await loadModel(at('run/model'));
    const before = student.model.stateDict();
    const frozen = (name: string) =>
      config.train.freeze.some((part) => name === part || name.startsWith(`${part}.`));
    const changed = [...model.stateDict()].flatMap(([name, value]) =>
      equal(value, before.get(name) ?? assert.fail(name)) ? [] : [name],
    );
    // Batch norms' statistics do not change either.
    assert.deepEqual(changed.filter(frozen), []);
    for (const part of [...record.fresh, 'logit_scale']) {
      assert.ok(
        changed.some((name) => name.startsWith(part)),
        part,
      );
    }
  });

  it('takes slices of a teacher, with settings of the student', async () => {
    const result = (await bantamJson(
      [
        ...['models', 'inherit', 'teacher', '--model', 'student.json', '--out', 'thin'],
        ...['--method', 'tinyclip', '--set', 'model.vision.attention=mhsa'],
        ...[
          '--set',
          'model.vision.sharedAttention=false',
          '--set',
          'model.vision.depths=[1,1,1,1]',
        ],
        ...['--set', 'model.vision.widths=[4,4,8,16]', '--set', 'model.text.block=pre-norm'],
        ...['--set', 'model.text.shared=block'],
      ],
      options,
    )) as { sizes: Record<string, number>; layers: unknown; config: ModelConfig };
    const { sizes, layers, config } = result;
    assert.equal(sizes.fresh, 0);
    assert.ok((sizes.sliced ?? 0) > 0 && (sizes.inherited ?? 0) > 0);
    assert.deepEqual(layers, [{ name: 'visual.trunk.stages.3.blocks', from: [0], of: 2 }]);
    assert.ok('widths' in config.vision && config.vision.widths[3] === 16);
  });

  it('says what is wrong in one sentence', async () => {
    const inherit = (...args: string[]) => [
      'models',
      'inherit',
      'teacher',
      '--out',
      'new',
      ...args,
    ];
    const train = ['train', '--data', 'folder:shapes', '--out', 'new', '--budget', '8samples'];
    const fails = (args: string[], message: RegExp, status: 1 | 2 = 1) =>
      expectFailure(args, { status, message, ...options });
    await Promise.all([
      fails(inherit('--model', 'SiCLIP-S1'), /"SiCLIP-S1" \(did you mean "SiCLIP-S0"/),
      fails(inherit('--model', 'ViT-Nano-16-64', '--set', 'model.text.width=64', '--set', 'model.text.heads=1'), /Nothing of the teacher fits/),
      fails(inherit('--model', 'student.json', '--set', 'model.text.contextLength=8'), /"contextLength" of "text" is 8, but the teacher's tokenizer/),
      fails(inherit('--model', 'student.json', '--set', 'model.text.wide=8'), /no setting 'model\.text\.wide'/, 2),
      fails([...train, '--init', 'teacher', '--freeze-inherited'], /--freeze-inherited needs --init .* which teacher is not/, 2),
    ]); // prettier-ignore
    await assert.rejects(() => rm(at('new')), /ENOENT/);
  });
});
