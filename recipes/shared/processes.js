/** Trainers on noise in several processes, for measuring what sharing costs. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createStrategy,
  fixedLengthTokenizer,
  modelConfig,
  noiseBatch,
  repeated,
  resolveConfig,
  Trainer,
} from 'bantam/experimental';

/** A trainer of `clip` in fp32 on this process's rows of a batch of noise. */
export function noiseTrainer(world, { model: name, batchSize, train }) {
  const model = modelConfig(name);
  const settings = { batchSize, precision: 'fp32', workers: 0, ...train };
  const config = resolveConfig({ model, data: 'noise', budget: '1e9samples', train: settings });
  const strategy = createStrategy(config, { samples: batchSize });
  const tokenizer = fixedLengthTokenizer(config.model, 16);
  const size = world === null ? batchSize : world.rows(batchSize).length;
  const batches = repeated(noiseBatch({ size, imageSize: config.preprocess.size }));
  return new Trainer({ config, strategy, tokenizer, world }, batches);
}

/** Runs a script as so many processes of one thread that `joinWorld` brings together; rank 0's JSON. */
export async function runTogether(count, args) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-processes-'));
  const [loopback = 'lo'] =
    Object.entries(networkInterfaces()).find(([, found]) => found?.[0]?.internal) ?? [];
  const run = (rank) =>
    new Promise((resolve, reject) => {
      const ranks = { RANK: String(rank), WORLD_SIZE: String(count) };
      const child = spawn(process.execPath, args, {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          GLOO_SOCKET_IFNAME: loopback,
          ...process.env,
          BANTAM_RENDEZVOUS: join(folder, 'store'),
          OMP_NUM_THREADS: '1',
          ...(count > 1 && ranks),
        },
      });
      let text = '';
      child.stdout.on('data', (data) => (text += String(data)));
      child.on('error', reject).on('close', (code) => {
        if (code === 0) resolve(text);
        else reject(new Error(`Rank ${rank} of ${count} ended with status ${code}.`));
      });
    });
  try {
    const [first] = await Promise.all(Array.from({ length: count }, (_, rank) => run(rank)));
    return JSON.parse(first);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
