import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { scope } from '@bantam/torch';
import { constrainLogits, filterLogits } from '../dist/models/generate/next-token.js';
import { generateIds } from '../dist/models/generate/generate.js';
import { createModel, loadModel, withChanges } from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import { find, openReference, part } from './tower-fixture.js';

/** One call of OpenCLIP's `generate`, and what it gave. */
interface Run {
  readonly options: {
    readonly generation_type: 'top_k' | 'beam_search';
    readonly seq_len: number;
    readonly min_seq_len: number;
    readonly repetition_penalty?: number;
    readonly num_beams?: number;
    readonly num_beam_groups?: number;
    readonly sot_token_id: number;
    readonly eos_token_id: number;
  };
  readonly pad: number;
  readonly ids: readonly (readonly number[])[];
}

describe('generateIds', () => {
  const runs = readModelFixture('coca/captions.json') as Run[];
  const reference = openReference('coca/captions');
  const directory = fileURLToPath(new URL('../fixtures/models/coca/queries', import.meta.url));

  for (const { options, pad, ids } of runs) {
    it(`gives OpenCLIP's tokens: ${JSON.stringify({ ...options, pad })}`, async () => {
      const { config: own } = await loadModel(directory);
      const config = withChanges(own, { text: { padId: pad } });
      using model = createModel(config, { generator: null });
      model.loadStateDict(part(reference, 'weight.'));
      const beam = options.generation_type === 'beam_search';
      const { num_beams = 6, num_beam_groups = 3 } = options;
      const captions = generateIds(model, find(reference, 'pixels'), {
        startId: options.sot_token_id,
        endId: options.eos_token_id,
        padId: pad,
        method: beam ? 'beam' : 'greedy',
        scores: 'logit',
        beams: num_beams / num_beam_groups,
        maxTokens: options.seq_len,
        minTokens: options.min_seq_len,
        repetitionPenalty: options.repetition_penalty ?? 1,
      });
      const length = ids[0]?.length ?? 0;
      const filled = captions.map(([caption = []]) => [
        ...caption,
        ...Array<number>(length - caption.length).fill(pad),
      ]);
      assert.deepEqual(filled, ids);
    });
  }
});

describe('the logits of a next token', () => {
  const cases = readModelFixture('coca/next-token.json') as Record<
    string,
    { top_k?: number; top_p?: number; min_seq_len?: number; repetition_penalty?: number }
  >;
  const reference = openReference('coca/next-token');
  for (const [name, options] of Object.entries(cases)) {
    it(`are filtered as by OpenCLIP's generate: ${name}`, () => {
      scope(() => {
        const ids = find(reference, 'ids');
        const constrained = constrainLogits(find(reference, 'logits'), ids, {
          endId: 39,
          minTokens: options.min_seq_len ?? 1,
          repetitionPenalty: options.repetition_penalty ?? 1,
        });
        const filtered = filterLogits(constrained, {
          topK: options.top_k ?? 0,
          topP: options.top_p ?? 1,
        });
        const wanted = find(reference, `logits.${name}`).toArray();
        filtered.toArray().forEach((value, i) => {
          const own = wanted[i] ?? NaN;
          assert.ok(value === own || Math.abs(value - own) < 1e-6, `${i}: ${value}, ${own}`);
        });
      });
    });
  }
});
