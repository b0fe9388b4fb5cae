import { cpus, totalmem } from 'node:os';
import { findBaseline } from './baseline.js';
import type { BantamFacts, BaselineFacts } from './protocol.js';
import type { MachineFacts } from './results.js';
import { startBantam, startBaseline, type WorkerOptions } from './workers.js';

/** both implementations as they are on this machine. */
export interface Session extends WorkerOptions {
  readonly device: string;
  readonly bantam: BantamFacts;
  readonly baseline: { readonly python: string; readonly facts: BaselineFacts } | null;
  readonly machine: MachineFacts;
}

/** Options of {@link openSession}. */
export interface OpenSessionOptions extends WorkerOptions {
  /** Open the baseline as well. */
  readonly withBaseline: boolean;
  /** Of models and their batches. Default `cpu`. */
  readonly device?: string;
}

/**
 * Asks both implementations for their facts.
 *
 * @throws BantamError when the baseline is wanted and not installed.
 */
export async function openSession({
  threads,
  isa,
  withBaseline,
  device = 'cpu',
}: OpenSessionOptions): Promise<Session> {
  const python = withBaseline ? await findBaseline() : null;
  await using bantam = startBantam({ threads, isa });
  const facts = await bantam.ask({ op: 'facts', device });
  let baseline: Session['baseline'] = null;
  if (python !== null) {
    await using worker = startBaseline(python, { threads, isa });
    baseline = { python, facts: await worker.ask({ op: 'facts' }) };
  }
  const machine = { ...describeMachine(facts, baseline?.facts), ...(isa && { isa }) };
  return { threads, isa, device: facts.device.name, bantam: facts, baseline, machine };
}

function describeMachine(bantam: BantamFacts, baseline: BaselineFacts | undefined): MachineFacts {
  const cores = cpus();
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    libtorch: bantam.torch,
    baseline:
      baseline === undefined ? null : `OpenCLIP ${baseline.openClip} on PyTorch ${baseline.torch}`,
    threads: bantam.threads,
    ...(bantam.device.name !== 'cpu' && { device: bantam.device.model ?? bantam.device.name }),
  };
}
