import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { precise } from './format.js';
import { ratioChart, scalingChart } from './charts.js';
import { fillSections, sections } from './report.js';
import { measuredResults } from './results.test.helper.js';
import {
  accuracyTable,
  markdownTable,
  onnxTable,
  speedTable,
  trialTable,
  zooTable,
} from './tables.js';

describe('tables', () => {
  it('aligns columns as the formatter does', () => {
    assert.equal(
      markdownTable(['name', 'n'], [['a', '12345']]),
      '| name |     n |\n| ---- | ----: |\n| a    | 12345 |',
    );
  });

  it('shows three digits', () => {
    assert.deepEqual([12345, 123.4, 12.34, 0.01234, null].map(precise), [
      '12300',
      '123',
      '12.3',
      '0.0123',
      '',
    ]);
  });

  it('has speeds, ratio with its range, fraction of products and memory', () => {
    const row = speedTable(measuredResults).split('\n').slice(2).join();
    assert.deepEqual(
      row.split('|').map((cell) => cell.trim()),
      [
        '',
        'ViT-B-32',
        'training step',
        'bf16',
        '25.0',
        '10.0',
        '**2.50×** (2.00 to 3.00×)',
        '50 %',
        '0.50',
        'fused AdamW',
        '',
      ],
    );
  });

  it('names the setting that was taken, and why one failed', () => {
    const rows = trialTable(measuredResults).split('\n');
    assert.match(String(rows[3]), /fused AdamW .* 1\.00 \| +taken/);
    assert.match(String(rows[4]), /torch\.compile .*failed: no compiler/);
  });

  it('has one row per model of the zoo', () => {
    const row = zooTable(measuredResults).split('\n').slice(2).join();
    assert.match(row, /`ViT-B-32` \| +151\.3 \| +9\.00 \| +25\.0 \| +10\.0 \| +2\.50×/);
  });
});

describe('onnxTable', () => {
  it('has the milliseconds of a call of both', () => {
    const row = onnxTable(measuredResults).split('\n').slice(2).join();
    // 10 samples a call, at 25 and 10 samples/s.
    assert.match(row, /bf16 +\| +10 \| +400 \| +1000 \| +25\.0 \| +10\.0 \| \*\*2\.50×/);
  });
});

describe('accuracyTable', () => {
  const learned = (samples: number, recall: number) => {
    const [high, low] = [recall + 0.1, recall - 0.1];
    return { samples, recalls: { image1: low, text1: high, image10: recall, text10: recall } };
  };

  it('has the median and range of both directions, and chance', () => {
    const rows = accuracyTable({
      model: 'ViT-Nano-8-64',
      seconds: 60,
      batch: 64,
      pairs: { train: 900, heldOut: 100 },
      repetitions: [
        { bantam: learned(200, 0.3), baseline: learned(50, 0.1) },
        { bantam: learned(210, 0.4), baseline: null },
        { bantam: learned(220, 0.5), baseline: null },
      ],
    }).split('\n');
    const cells = rows.slice(4).map((row) => row.split('|').map((cell) => cell.trim()));
    assert.deepEqual(cells, [
      ['', 'Bantam', '210 (200 to 220)', '40.0 (30.0 to 50.0)', '40.0 (30.0 to 50.0)', ''],
      ['', 'OpenCLIP', '50', '10.0', '10.0', ''],
      ['', 'chance', '', '1.0', '10.0', ''],
    ]);
  });
});

describe('report', () => {
  it('keeps results under a limit of instructions apart', () => {
    const machine = { ...measuredResults.machine, isa: 'avx2' };
    const limited = sections({ ...measuredResults, machine });
    assert.deepEqual([...limited.keys()], ['run-avx2']);
    assert.match(limited.get('run-avx2') ?? '', /both implementations limited to avx2/);
  });

  it('fills the sections of its results and leaves the others', () => {
    const page =
      'Text\n<!-- bench:run-skipped -->\nold\n<!-- /bench -->\n<!-- bench:zoo -->\nkept\n<!-- /bench -->\n';
    const filled = fillSections(page, sections(measuredResults));
    assert.equal(
      filled,
      'Text\n<!-- bench:run-skipped -->\n\n- `train/RN50/bf16`: Bantam has no preset RN50 yet.\n\n<!-- /bench -->\n<!-- bench:zoo -->\nkept\n<!-- /bench -->\n',
    );
    assert.equal(fillSections(filled, sections(measuredResults)), filled);
  });

  it('draws a bar per case, as long as its ratio', () => {
    const image = ratioChart(measuredResults);
    assert.match(image, /^<svg xmlns=/);
    const bars = [...image.matchAll(/<rect [^>]*width="([\d.]+)"/g)];
    // The axis ends at the highest ratio of a repetition, 3; the median is 2.5.
    assert.deepEqual(
      bars.map(([, width]) => Number(width)),
      [Number(((430 * 2.5) / 3).toFixed(1))],
    );
    assert.match(image, />2\.50×</);
  });

  it('draws speed and memory for each axis', () => {
    const point = { axis: 'batch', model: 'ViT-B-32', precision: 'bf16' } as const;
    const image = scalingChart([
      { ...point, value: 16, samplesPerSecond: 10, peakBytes: 1e9 },
      { ...point, value: 64, samplesPerSecond: 20, peakBytes: 3e9 },
    ]);
    assert.equal(image.match(/<path class="main"/g)?.length, 2);
  });
});
