/**
 * Time of attention in bf16. From the joint projection of queries, keys and values: Bantam's own
 * kernel, two batched products with a softmax between, and libtorch's fused kernel, alternately.
 * Milliseconds of CPU time, forward / forward and backward, median over the repetitions.
 *
 *     node recipes/attention-cost.js [--batch 16] [--repetitions 9] [--threads 1]
 *
 * Needs AMX or AVX512-BF16; takes half a minute.
 */
import './shared/one-sentence.js';
import { parseArgs } from 'node:util';
import * as torch from '@bantam/torch';
import { median } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    batch: { type: 'string', default: '16' },
    repetitions: { type: 'string', default: '9' },
    threads: { type: 'string', default: '1' },
  },
});
const batch = Number(values.batch);
torch.setThreads(Number(values.threads));
const bf16 = { dtype: 'bfloat16' };

/** q, k and v of a joint projection, each [B, heads, L, depth] as a view. */
function split(joint, heads) {
  const [, length, width] = joint.shape;
  const parts = torch.reshape(joint, [batch, length, 3, heads, width / 3 / heads]);
  return torch.unbind(parts, 2).map((part) => torch.permute(part, [0, 2, 1, 3]));
}

/** [B, heads, L, depth] → [B, L, W] */
function join(mixed) {
  const [, heads, length, depth] = mixed.shape;
  return torch.reshape(torch.permute(mixed, [0, 2, 1, 3]), [batch, length, heads * depth]);
}

function products(joint, { heads, causal }) {
  const parts = split(joint, heads);
  const [, , length, depth] = parts[0].shape;
  const [q, k, v] = parts.map((part) => torch.reshape(part, [batch * heads, length, depth]));
  const past = causal && torch.to(torch.triu(torch.full([length, length], -Infinity), 1), bf16);
  const scores = torch.baddbmm(past || torch.zeros([1, 1, 1], bf16), q, torch.transpose(k, 1, 2), {
    beta: causal ? 1 : 0,
    alpha: 1 / Math.sqrt(depth),
  });
  const mixed = torch.bmm(torch.softmax(scores, -1), v);
  return join(torch.reshape(mixed, [batch, heads, length, depth]));
}

function fused(joint, { heads, causal }) {
  const [q, k, v] = split(joint, heads);
  return join(torch.scaledDotProductAttention(q, k, v, { causal }));
}

const implementations = {
  "Bantam's kernel": torch.shortAttention,
  'two products': products,
  fused,
};

/** Milliseconds of CPU time. */
function timed(work) {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

console.log(`| tokens, heads × depth | ${Object.keys(implementations).join(' | ')} |`);
console.log('| --- | ---: | ---: | ---: |');
const generator = new torch.Generator({ seed: 0 });
const draw = (shape) => torch.to(torch.randn(shape, generator), bf16);
for (const { length, heads, depth, causal = false } of [
  { length: 197, heads: 6, depth: 64 },
  { length: 197, heads: 12, depth: 32 },
  { length: 50, heads: 12, depth: 64 },
  { length: 77, heads: 8, depth: 64, causal: true },
  { length: 20, heads: 8, depth: 64, causal: true },
]) {
  const joint = draw([batch, length, 3 * heads * depth]);
  const upstream = draw([batch, length, heads * depth]);
  joint.requiresGrad = true;
  const times = Object.values(implementations).map(() => ({ forward: [], both: [] }));
  for (let repetition = -2; repetition < Number(values.repetitions); repetition++) {
    for (const [i, attend] of Object.values(implementations).entries()) {
      const run = () => attend(joint, { heads, causal });
      const forward = timed(() => torch.scope(() => void torch.noGrad(run)));
      const both = timed(() =>
        torch.scope(() => void torch.grad([run()], [joint], { gradOutputs: [upstream] })),
      );
      // The first repetitions warm up.
      if (repetition < 0) continue;
      times[i].forward.push(forward);
      times[i].both.push(both);
    }
  }
  const cells = times.map(({ forward, both }) =>
    [forward, both].map((all) => median(all).toFixed(1)).join(' / '),
  );
  const name = `${length}, ${heads} × ${depth}${causal ? ', causal' : ''}`;
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
