import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { normalize, tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { storedJson, storedTensors } from '../../test-support/stored-tensors.js';
import { retrieval } from '../metrics/retrieval.js';
import { zeroShot } from '../metrics/zero-shot.js';
import { imagenetClasses, imagenetLabels } from './imagenet.js';
import { canonicalText, resolveProtocols, zeroShotProtocols } from './protocols.js';
import { resolveTemplates } from './label-data.js';

const expected = storedJson('protocols') as Readonly<
  Record<'zero_shot' | 'retrieval', Readonly<Record<string, number>>>
>;
const stored = storedTensors('protocols');

function assertMetrics(
  actual: Readonly<Record<string, number | null>>,
  wanted: Readonly<Record<string, number>>,
): void {
  for (const [name, value] of Object.entries(wanted)) {
    const own = actual[name] ?? NaN;
    assert.ok(Math.abs(own - value) < 1e-6, `${name}: ${own} is not ${value}`);
  }
}

describe('protocols', () => {
  it("openclip equals CLIP_benchmark's zero-shot classification", () => {
    const result = zeroShot({
      image: normalize(stored('zero_shot.images')),
      weights: zeroShotProtocols.openclip.weights(stored('zero_shot.prompts')),
      classes: Array.from({ length: 9 }, (_, id) => String(id)),
      labels: Int32Array.from(stored('zero_shot.labels').toArray()),
    });
    assertMetrics(result.metrics, expected.zero_shot);
  });

  it("karpathy equals CLIP_benchmark's retrieval, five captions of each image", () => {
    const owners = stored('retrieval.owners').toArray();
    const textsOf = Array.from({ length: 30 }, (_, image) =>
      [...owners.keys()].filter((row) => at(owners, row) === image),
    );
    const [image, text] = [stored('retrieval.images'), stored('retrieval.texts')].map((x) =>
      normalize(x),
    );
    assert.ok(image && text);
    const { metrics } = retrieval({ image, text, textsOf });
    assertMetrics(metrics, expected.retrieval);
    const both = [1, 2].map((i) =>
      at(
        Object.values({
          a: metrics['image_retrieval_recall@1'],
          b: metrics['text_retrieval_recall@1'],
        }),
        i - 1,
      ),
    );
    assert.equal(
      metrics['mean_recall@1'],
      both.reduce<number>((sum, value) => sum + (value ?? NaN), 0) / 2,
    );
  });

  it('big_vision writes canonical prompts and divides by the norm + 1e-8', () => {
    const { className, templates, weights, geometry } = zeroShotProtocols.big_vision;
    assert.equal(className('Pelican_Eel (fish), gulper'), 'pelican eel fish');
    const prompts = templates(['mine: {}']);
    assert.equal(prompts.length, 81);
    assert.deepEqual(
      [prompts[0], prompts[10], prompts[80]],
      ['a bad photo of a {}', 'the embroidered {}', '{}'],
    );
    assert.equal(canonicalText("it's  {a} {}!", '{}'), 'its a {}');
    const vectors = weights(tensor([[[3, 0], [0, 5]]])).toArray(); // prettier-ignore
    for (const value of vectors) assert.ok(Math.abs(value - Math.SQRT1_2) < 1e-7);
    const squashed = { resizeMode: 'squash', tensorflow: 'bilinear' };
    assert.deepEqual(geometry({}), squashed);
    for (const imagenet of ['imagenet', 'imagenet-r'] as const) {
      assert.deepEqual(geometry({ imagenet }), { ...squashed, cropFraction: 0.875 });
    }
    assert.deepEqual(geometry({ imagenet: 'imagenet-a' }), {
      resizeMode: 'shortest',
      tensorflow: 'area',
      cropFraction: 0.75,
    });
  });

  it('are found by name', () => {
    assert.deepEqual(resolveProtocols(), { zeroShot: 'openclip', retrieval: 'bantam' });
    assert.deepEqual(resolveProtocols(['big_vision']), {
      zeroShot: 'big_vision',
      retrieval: 'karpathy',
    });
    assert.deepEqual(resolveProtocols(['openclip', 'karpathy']).retrieval, 'karpathy');
    assert.throws(
      () => resolveProtocols(['karpaty']),
      /no protocol "karpaty" \(did you mean "karpathy"/,
    );
  });
});

describe("ImageNet's classes", () => {
  const labelSet = (classes: readonly string[]) => ({
    classes,
    templates: ['{}'],
    labels: Int32Array.from([...classes.keys(), -1]),
  });

  it('are 1000, with the subsets of ImageNet-A and ImageNet-R', () => {
    assert.equal(imagenetClasses().length, 1000);
    const first = (set: 'imagenet-a' | 'imagenet-r') =>
      imagenetClasses(set)
        .slice(0, 6)
        .map(({ number }) => number);
    assert.deepEqual(first('imagenet-a'), [6, 11, 13, 15, 17, 22]);
    assert.deepEqual(first('imagenet-r'), [1, 2, 4, 6, 8, 9]);
    assert.deepEqual(imagenetClasses('imagenet-r').at(-1), {
      number: 988,
      wordnetId: 'n12267677',
      name: 'acorn',
    });
  });

  it('are found by WordNet ids without options', () => {
    const { classes, labels, templates } = imagenetLabels(labelSet(['n12267677', 'n01440764']));
    assert.deepEqual(classes, ['tench', 'acorn']);
    assert.deepEqual([...labels], [1, 0, -1]);
    assert.equal(templates.length, 80);
    const ids = imagenetClasses('imagenet-a').map(({ wordnetId }) => wordnetId);
    assert.equal(imagenetLabels(labelSet(ids)).classes.length, 200);
    const others = labelSet(['cat', 'n01440764']);
    assert.equal(imagenetLabels(others), others);
  });

  it('are found by number, whatever their order as texts, and by name', () => {
    const numbers = imagenetLabels(labelSet(['0', '10', '2']), 'imagenet');
    assert.deepEqual([...numbers.labels], [0, 10, 2, -1]);
    assert.equal(numbers.classes.length, 1000);
    assert.deepEqual(
      [...imagenetLabels(labelSet(['great_white_shark']), 'imagenet').labels],
      [2, -1],
    );
  });

  it('are refused where a set has no such class', () => {
    assert.throws(
      () => imagenetLabels(labelSet(['0']), 'imagenet-a'),
      /The class "0" is none of imagenet-a's 200 classes/,
    );
  });
});

describe("CLIP_benchmark's prompts", () => {
  it('are found by the name of the data set', () => {
    assert.deepEqual(resolveTemplates('pets'), ['a photo of a {}, a type of pet.']);
    assert.equal(resolveTemplates('dtd').length, 8);
    assert.throws(() => resolveTemplates('dtt'), /did you mean "dtd"/);
  });
});
