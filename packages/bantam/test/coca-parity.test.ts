import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { add, exp, mul, narrow, noGrad, normalize, scope, type Tensor } from '@bantam/torch';
import { captionCosts, captionLoss, clipLoss } from '../dist/losses/index.js';
import {
  fromOpenClip,
  loadModel,
  modelConfig,
  parameterCount,
  type Clip,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import { assertGradient, assertValues, find, openReference, part } from './tower-fixture.js';

/** A model's outputs for images and captions. */
function outputs(model: Clip, pixels: Tensor, ids: Tensor) {
  const image = model.visual.encode(pixels, { tokens: true });
  const text = model.text.encode(ids, { tokens: true });
  const [imageTokens, textTokens] = [image.tokens ?? assert.fail(), text.tokens ?? assert.fail()];
  const decoder = model.textDecoder ?? assert.fail();
  const logits = decoder.forward(narrow(textTokens, 1, 0, ids.dim(1) - 1), imageTokens);
  return { image: image.pooled, text: text.pooled, imageTokens, textTokens, logits };
}

describe('coca', () => {
  for (const name of ['queries', 'patches', 'cascade']) {
    const reference = openReference(`coca/${name}`);
    const [pixels, ids] = [find(reference, 'pixels'), find(reference, 'ids')];
    const directory = fileURLToPath(new URL(`../fixtures/models/coca/${name}`, import.meta.url));

    it(`equals OpenCLIP: ${name}`, async () => {
      const { model } = await loadModel(directory);
      noGrad(() => {
        scope(() => {
          const out = outputs(model, pixels, ids);
          assertValues(out.image, find(reference, 'image'), 2e-5, 'image');
          assertValues(out.text, find(reference, 'text'), 2e-5, 'text');
          assertValues(out.imageTokens, find(reference, 'image_tokens'), 2e-5, 'image tokens');
          assertValues(out.textTokens, find(reference, 'text_tokens'), 2e-5, 'text tokens');
          assertValues(out.logits, find(reference, 'logits'), 2e-5, 'logits');
          const alone = model.encodeText(ids);
          assertValues(alone, find(reference, 'text'), 2e-5, 'text without tokens');
        });
      });
      model.dispose();
    });

    it(`has OpenCLIP's losses and gradients: ${name}`, async () => {
      const { model, config } = await loadModel(directory);
      const { padId } = config.text as { padId: number };
      const losses = readModelFixture(`coca/${name}.json`) as Record<string, number>;
      scope(() => {
        const { image, text, logits } = outputs(model, pixels, ids);
        const contrastive = clipLoss(normalize(image), normalize(text), exp(model.logitScale));
        const caption = mul(captionLoss(captionCosts(logits, ids, padId)), 2);
        for (const [key, loss] of Object.entries({ contrastive, caption })) {
          const wanted = losses[key] ?? assert.fail();
          assert.ok(Math.abs(loss.item() - wanted) < 1e-5, `${key}: ${loss.item()}, ${wanted}`);
        }
        add(contrastive, caption).backward();
      });
      const gradients = part(reference, 'grad.');
      const parameters = model.namedParameters();
      assert.deepEqual([...parameters.keys()].sort(), [...gradients.keys()].sort());
      for (const [key, gradient] of gradients) {
        assertGradient(parameters.get(key)?.grad ?? null, gradient, 0.1, key);
      }
      model.dispose();
    });

    it(`gives texts the same features when padding is cut: ${name}`, async () => {
      const { model } = await loadModel(directory);
      noGrad(() => {
        scope(() => {
          // The longest of these ends before the context.
          const rows = (all: Tensor, length: number) => narrow(narrow(all, 0, 2, 2), 1, 0, length);
          const cut = outputs(model, narrow(pixels, 0, 2, 2), rows(ids, 7));
          const logits = narrow(narrow(find(reference, 'logits'), 0, 2, 2), 1, 0, 6);
          assertValues(cut.text, narrow(find(reference, 'text'), 0, 2, 2), 2e-5, 'text');
          assertValues(cut.logits, logits, 2e-5, 'logits');
        });
      });
      model.dispose();
    });
  }

  const presets = readModelFixture('coca/presets.json') as Record<
    string,
    { parameters: Record<string, number>; model_cfg: unknown }
  >;
  for (const [name, { parameters, model_cfg }] of Object.entries(presets)) {
    it(`${name} is OpenCLIP's, with as many parameters`, () => {
      assert.deepEqual(modelConfig(name), fromOpenClip(model_cfg));
      assert.deepEqual(parameterCount(modelConfig(name)), parameters);
    });
  }
});
