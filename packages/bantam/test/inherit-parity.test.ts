import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { equal, Generator } from '@bantam/torch';
import { createModel, inheritWeights, parseModelConfig } from '../dist/models/index.js';
import { find, openReference, part } from './tower-fixture.js';

describe("TinyCLIP's inheritance of a ViT", () => {
  const file = new URL('../fixtures/models/inherit/tinyclip.json', import.meta.url);
  const configs = JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as Record<string, unknown>;
  const reference = openReference('inherit/tinyclip');
  const build = (who: 'teacher' | 'student') =>
    createModel(parseModelConfig(configs[who]), { generator: new Generator({ seed: 1 }) });

  it('takes the slices that its rules name', () => {
    const [teacher, student] = [build('teacher'), build('student')];
    teacher.loadStateDict(part(reference, 'teacher.'));
    const { layers, parameters } = inheritWeights(teacher, student, { method: 'tinyclip' });
    for (const [name, value] of student.stateDict()) {
      assert.ok(equal(value, find(reference, `student.${name}`)), name);
    }
    assert.deepEqual(layers, [{ name: 'visual.transformer.resblocks', from: [0, 2], of: 5 }]);
    const found = parameters.find(({ name }) => name.endsWith('resblocks.1.attn.in_proj_weight'));
    assert.deepEqual(found, {
      name: 'visual.transformer.resblocks.1.attn.in_proj_weight',
      size: 24 * 8,
      start: 'sliced',
      from: 'visual.transformer.resblocks.2.attn.in_proj_weight',
      slice: '[3 × :8, :8]',
    });
    assert.deepEqual(
      parameters.filter(({ start }) => start !== 'sliced').map(({ name }) => name),
      ['logit_scale'],
    );
  });
});
