import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  add,
  copy_,
  Generator,
  loadSafetensors,
  mul,
  noGrad,
  scope,
  sum,
  type Tensor,
} from '@bantam/torch';
import { addLora, BantamError, loadModel, loraChanges, saveAdapter } from '../dist/experimental.js';
import { assertGradient, assertValues, find, openReference, part } from './tower-fixture.js';

const fixtures = fileURLToPath(new URL('../fixtures/models/lora/', import.meta.url));
const expected = openReference('lora/expected');

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-lora-'));
});
after(() => rm(root, { recursive: true }));

const plain = { rank: 2, alpha: 3, rankStabilized: false, dropout: 0 };
const blocks = ['*.attn', '*.c_fc', '*.c_proj'];

/** The base model of OpenCLIP with the changes of an adapter of one rank that PEFT trained. */
async function trainable(adapter: string) {
  const { model, config, preprocess } = await loadModel(join(fixtures, 'open-clip'));
  addLora(
    model,
    { ...plain, targets: blocks },
    { init: null, dropout: new Generator({ seed: 1 }) },
  );
  const { tensors } = loadSafetensors(join(fixtures, adapter, 'adapter_model.safetensors'));
  const state = model.stateDict();
  const named = loraChanges(model).flatMap(({ weight, a, b }) => {
    const path = weight.replace(/\.(?:in_proj_)?weight$/, '');
    const outer = path.endsWith('.attn.out_proj');
    const module = outer ? path.replace('.out_proj', '.base_layer.out_proj') : path;
    return (['A', 'B'] as const).map((letter) => ({
      name: `base_model.model.${module}.lora_${letter}.weight`,
      parameter: state.get(letter === 'A' ? a : b) ?? assert.fail(),
      // PEFT adds the change of an attention's second product twice.
      times: outer && letter === 'B' ? 2 : 1,
    }));
  });
  assert.equal(named.length, tensors.size);
  scope(() => {
    noGrad(() => {
      for (const { name, parameter, times } of named) {
        copy_(parameter, mul(find(tensors, name), times));
      }
    });
  });
  return { model, config, preprocess, named };
}

const refusal = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof BantamError, String(error));
  assert.match(error.message, message);
  return true;
};

describe('adapters of PEFT', () => {
  for (const name of ['open-clip-plain', 'open-clip-patterns', 'hugging-face-plain']) {
    it(`load merged, with the features that PEFT computes: ${name}`, async () => {
      const { model } = await loadModel(join(fixtures, name));
      scope(() => {
        noGrad(() => {
          const image = model.encodeImage(find(expected, 'pixels'));
          const text = model.encodeText(find(expected, 'ids'));
          assertValues(image, find(expected, `${name}.image`), 2e-5, 'image');
          assertValues(text, find(expected, `${name}.text`), 2e-5, 'text');
        });
      });
      model.dispose();
    });
  }

  it('have the features and the gradients of both matrices in training', async () => {
    const { model, named } = await trainable('open-clip-plain');
    scope(() => {
      const image = model.encodeImage(find(expected, 'pixels'));
      const text = model.encodeText(find(expected, 'ids'));
      assertValues(image, find(expected, 'open-clip-plain.image'), 2e-5, 'image');
      assertValues(text, find(expected, 'open-clip-plain.text'), 2e-5, 'text');
      const loss = (features: Tensor, tower: string) =>
        sum(mul(features, find(expected, `cotangent.${tower}`)));
      add(loss(image, 'image'), loss(text, 'text')).backward();
      const wanted = part(expected, 'open-clip-plain.grad.');
      assert.equal(wanted.size, named.length);
      for (const { name, parameter, times } of named) {
        const gradient = parameter.grad ?? assert.fail(name);
        // A matrix that is kept twice as large has half the gradient.
        assertGradient(mul(gradient, times), find(wanted, name), 1, name);
      }
      for (const [name, { grad, requiresGrad }] of model.namedParameters()) {
        assert.equal(grad !== null, requiresGrad, name);
      }
    });
    model.dispose();
  });

  it('are written as PEFT writes them, and load again', async () => {
    const { model, config, preprocess } = await trainable('open-clip-plain');
    const directory = join(root, 'written');
    const base = join(fixtures, 'open-clip');
    const settings = { ...plain, targets: blocks };
    await saveAdapter(directory, { model, config, preprocess, settings, base });
    const own = loadSafetensors(join(directory, 'adapter_model.safetensors')).tensors;
    const file = join(fixtures, 'open-clip-plain', 'adapter_model.safetensors');
    const { tensors } = loadSafetensors(file);
    assert.deepEqual([...own.keys()].sort(), [...tensors.keys()].sort());
    for (const [name, tensor] of tensors) {
      assert.deepEqual(find(own, name).toArray(), tensor.toArray(), name);
    }
    const described = JSON.parse(
      await readFile(join(directory, 'adapter_config.json'), 'utf8'),
    ) as Record<string, unknown>;
    assert.deepEqual([described.peft_type, described.r, described.lora_alpha], ['LORA', 2, 3]);
    const targets = new RegExp(`^${String(described.target_modules)}$`);
    assert.ok(targets.test('visual.transformer.resblocks.1.attn'));
    assert.ok(targets.test('transformer.resblocks.0.mlp.c_fc'));
    assert.ok(!targets.test('visual.transformer.resblocks.1.attn.out_proj'));
    const loaded = await loadModel(directory);
    scope(() => {
      noGrad(() => {
        const image = loaded.model.encodeImage(find(expected, 'pixels'));
        assertValues(image, find(expected, 'open-clip-plain.image'), 2e-5, 'image');
      });
    });
    for (const one of [model, loaded.model]) one.dispose();
  });

  const changes: [string, Record<string, unknown>, RegExp][] = [
    ['another kind', { peft_type: 'IA3' }, /an adapter of the kind "IA3", of which Bantam reads "LORA" alone/],
    ['DoRA', { use_dora: true }, /sets "use_dora" to true, which Bantam cannot read; merge/],
    ['PiSSA', { init_lora_weights: 'pissa' }, /sets "init_lora_weights" to "pissa"/],
    ['biases', { bias: 'all' }, /sets "bias" to "all"/],
    ['whole modules', { modules_to_save: ['visual'] }, /sets "modules_to_save" to \["visual"\]/],
    ['no base model', { base_model_name_or_path: null }, /names no base model; set "base_model_name_or_path"/],
    ['a base model that is not there', { base_model_name_or_path: '../nowhere' }, /The base model \.\.\/nowhere that .* does not exist/],
    ['a base model of other names', { base_model_name_or_path: 'hugging-face' }, /changes the module transformer\.resblocks\.0\.attn\.base_layer\.out_proj, which its base model lacks|changes .* by/],
  ]; // prettier-ignore
  for (const [what, change, message] of changes) {
    it(`are refused with the reason: ${what}`, async () => {
      const directory = join(root, what.replaceAll(' ', '-'));
      await cp(join(fixtures, 'open-clip-plain'), directory, { recursive: true });
      await cp(join(fixtures, 'open-clip'), join(root, 'open-clip'), { recursive: true });
      await cp(join(fixtures, 'hugging-face'), join(directory, 'hugging-face'), {
        recursive: true,
      });
      const file = join(directory, 'adapter_config.json');
      const config = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
      await writeFile(file, JSON.stringify({ ...config, ...change }));
      await assert.rejects(loadModel(directory), refusal(message));
    });
  }
});
