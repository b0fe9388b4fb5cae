import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatStudy } from './study-table.js';

const metrics = ['acc1', 'image_retrieval_recall@10', 'text_retrieval_recall@10', 'few_shot@5'];
const columns = metrics.map((metric) => ({
  id: `test, ${metric}`,
  dataset: 'test',
  metric,
  task: 'zero-shot' as const,
  lowerIsBetter: false,
}));
const summary = { mean: 0.5, interval: [0.4, 0.6] as const, samplingError: 0.02, chance: null };
const arms = ['ModifiedResNet-Nano-64', 'ViT-Nano-16-64'].map((name) => ({
  grid: 'towers',
  name,
  values: {},
  rows: [],
  records: 6040,
  epochs: 3.01,
  samples: 18176,
  flops: 9.88e12,
  seconds: 92.5,
  metrics: Object.fromEntries(columns.map(({ id }) => [id, summary])),
}));

describe('formatStudy', () => {
  it('fits 80 columns, metrics side by side as far as they fit', () => {
    const text = formatStudy({
      grids: [{ name: 'towers', varied: ['model'], baseline: 'ModifiedResNet-Nano-64' }],
      arms,
      columns,
      comparisons: columns.map(({ id }) => ({
        grid: 'towers',
        arm: 'ViT-Nano-16-64',
        baseline: 'ModifiedResNet-Nano-64',
        column: id,
        difference: -0.159,
        interval: [-0.184, -0.133],
        pValue: 0.0014,
        pairs: 3,
        adjusted: 0.0041,
        verdict: 'not distinguishable',
      })),
      tuned: [],
      failures: [],
      remarks: ['2 images of test could not be read: the metrics are of the others.'],
    });
    const lines = text.split('\n');
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    );
    assert.match(text, /^Learning rates as in the file: not tuned\.$/m);
    assert.match(text, /^2 images of test could not be read: the metrics are of the others\.$/m);
    assert.match(text, /^test +acc1 +image_retrieval_recall@10$/m);
    assert.match(text, /^ModifiedResNet-Nano-64( +50\.0 ± 10\.0 \(2\.0\)){2}$/m);
  });
});
