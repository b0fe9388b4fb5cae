/**
 * Memory of each process with the optimizer's state in every one of them, and divided among them
 * (`--shard-optimizer`). Takes two steps of AdamW on noise with 1, 2 and 4 processes of one thread and prints,
 * for the process that holds the most, the bytes of the optimizer's state and of all tensors between steps. It
 * takes a minute; `ViT-B-32` needs 11 GB for four processes.
 *
 *     node recipes/shard-optimizer.js [--model ViT-S-16] [--batch 8]
 */
import './shared/one-sentence.js';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryStats, setThreads } from '@bantam/torch';
import { joinWorld } from 'bantam/experimental';
import { noiseTrainer, runTogether } from './shared/processes.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'ViT-S-16' },
    batch: { type: 'string', default: '8' },
    // For the processes that are measured.
    measure: { type: 'boolean', default: false },
    shard: { type: 'boolean', default: false },
  },
});

/** Bytes of every process after two steps. */
async function measure() {
  setThreads(1);
  const world = await joinWorld();
  const train = { shardOptimizer: values.shard };
  const options = { model: values.model, batchSize: Number(values.batch), train };
  const trainer = noiseTrainer(world, options);
  const steps = trainer.run();
  await steps.next();
  await steps.next();
  const { liveBytes } = memoryStats();
  const { optimizer } = trainer.checkpoint().tensors;
  const state = [...optimizer.values()].reduce((sum, { size }) => sum + 4 * size, 0);
  const own = { tensors: liveBytes, state };
  const all = world === null ? [own] : await world.exchange(own);
  await steps.return();
  trainer[Symbol.dispose]();
  await world?.leave();
  if (world === null || world.isFirst) console.log(JSON.stringify(all));
}

/** The bytes of each of so many processes. */
function measureProcesses(count, shard) {
  const args = [fileURLToPath(import.meta.url), '--measure', '--model', values.model];
  return runTogether(count, [...args, '--batch', values.batch, ...(shard ? ['--shard'] : [])]);
}

function megabytes(found, what) {
  return (Math.max(...found.map((one) => one[what])) / 1e6).toFixed(0);
}

if (values.measure) {
  await measure();
} else {
  console.log('| processes | state, MB | tensors, MB | divided: state, MB | tensors, MB |');
  console.log('| --------: | --------: | ----------: | -----------------: | ----------: |');
  for (const count of [1, 2, 4]) {
    const whole = await measureProcesses(count, false);
    const divided = count === 1 ? whole : await measureProcesses(count, true);
    const cells = [whole, divided].flatMap((found) =>
      ['state', 'tensors'].map((what) => megabytes(found, what)),
    );
    console.log(`| ${[count, ...cells].join(' | ')} |`);
  }
}
