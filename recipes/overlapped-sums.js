/**
 * Time of a step of several processes whose gradients' sums begin during the backward pass, relative to sums that
 * begin after it. Both take turns of three steps within the same processes of one thread, on noise. It takes a
 * minute. `GLOO_SOCKET_IFNAME` names another network than the loopback.
 *
 *     node recipes/overlapped-sums.js [--model ViT-S-16] [--batch 16] [--processes 2] [--rounds 7]
 */
import './shared/one-sentence.js';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setThreads } from '@bantam/torch';
import { joinWorld } from 'bantam/experimental';
import { noiseTrainer, runTogether } from './shared/processes.js';
import { median } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'ViT-S-16' },
    batch: { type: 'string', default: '16' },
    processes: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '7' },
    measure: { type: 'boolean', default: false },
  },
});
const stepsPerTurn = 3;

/** Seconds of a step, with sums during the backward pass and after it. */
async function measure() {
  setThreads(1);
  const world = await joinWorld();
  const during = world.whileSumming.bind(world);
  const after = (_, pass) => pass();
  const trainer = noiseTrainer(world, { model: values.model, batchSize: Number(values.batch) });
  const steps = trainer.run();
  // The first pass shows which gradients come in it.
  await steps.next();
  await steps.next();
  const seconds = { during: [], after: [] };
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, summing] of Object.entries({ during, after })) {
      world.whileSumming = summing;
      const start = performance.now();
      for (let step = 0; step < stepsPerTurn; step++) await steps.next();
      seconds[name].push((performance.now() - start) / 1000 / stepsPerTurn);
    }
  }
  await steps.return();
  trainer[Symbol.dispose]();
  await world.leave();
  if (world.isFirst) console.log(JSON.stringify(seconds));
}

if (values.measure) {
  await measure();
} else {
  const { processes, model, batch, rounds } = values;
  const args = [fileURLToPath(import.meta.url), '--measure', '--model', model];
  args.push('--batch', batch, '--rounds', rounds);
  const { during, after } = await runTogether(Number(processes), args);
  const ratio = median(during.map((one, i) => one / after[i]));
  console.log(`sums after the pass: ${median(after).toFixed(3)} s a step`);
  console.log(`sums during the pass: ${median(during).toFixed(3)} s, ${ratio.toFixed(3)} times`);
}
