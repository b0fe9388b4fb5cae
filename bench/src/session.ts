import { cpus, totalmem } from 'node:os';
import { findPeer } from './baseline.js';
import type { BantamFacts, PeerFacts } from './protocol.js';
import type { MachineFacts } from './results.js';
import { startBantam, startPeer, type SideOptions } from './workers.js';

/** Both sides as they are on this machine. */
export interface Session extends SideOptions {
  readonly bantam: BantamFacts;
  readonly peer: { readonly python: string; readonly facts: PeerFacts } | null;
  readonly machine: MachineFacts;
}

/** Options of {@link openSession}. */
export interface OpenSessionOptions extends SideOptions {
  /** Whether there is a peer. */
  readonly withPeer: boolean;
}

/**
 * Asks both sides what they are.
 *
 * @throws BantamError when the peer is wanted and not installed.
 */
export async function openSession({ threads, withPeer }: OpenSessionOptions): Promise<Session> {
  const python = withPeer ? await findPeer() : null;
  await using bantam = startBantam({ threads });
  const facts = await bantam.ask({ op: 'facts' });
  let peer: Session['peer'] = null;
  if (python !== null) {
    await using worker = startPeer(python, { threads });
    peer = { python, facts: await worker.ask({ op: 'facts' }) };
  }
  return { threads, bantam: facts, peer, machine: describeMachine(facts, peer?.facts) };
}

function describeMachine(bantam: BantamFacts, peer: PeerFacts | undefined): MachineFacts {
  const cores = cpus();
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    libtorch: bantam.torch,
    peer: peer === undefined ? null : `OpenCLIP ${peer.openClip} on PyTorch ${peer.torch}`,
    threads: bantam.threads,
  };
}
