import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  loadSafetensors,
  saveSafetensors,
  syncFolder,
  writeFileAtomic,
  type GradScalerState,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import type { Spent } from '../config/budget.js';

/** State of a run beside its tensors. */
export interface CheckpointState {
  /** Optimizer steps done. */
  step: number;
  spent: Spent;
  /** The next batch: its epoch, and its first sample's position there. */
  epoch: number;
  position: number;
  /** States of the random streams by name, base64. */
  streams: Record<string, string>;
  /** Mean loss of the latest steps; null before the first. */
  loss: number | null;
  /** State of the loss scaling of float16. */
  scaler?: GradScalerState;
}

/** The parts of a checkpoint; each part is one safetensors file. */
export interface Checkpoint {
  state: CheckpointState;
  tensors: Readonly<Record<string, ReadonlyMap<string, Tensor>>>;
}

const pattern = /^step-(\d{8})$/;

function folder(run: string): string {
  return join(run, 'checkpoints');
}

/** Folders of the whole checkpoints of a run, oldest first. */
export function listCheckpoints(run: string): string[] {
  if (!existsSync(folder(run))) return [];
  return readdirSync(folder(run))
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder(run), name));
}

/**
 * Writes a checkpoint beside the earlier ones, syncs it, and gives it its name by one rename: at
 * any moment the run has a whole checkpoint or none of that step. Then removes all but the newest
 * `keep`. Returns its folder.
 */
export function writeCheckpoint(run: string, checkpoint: Checkpoint, keep: number): string {
  const name = `step-${String(checkpoint.state.step).padStart(8, '0')}`;
  const path = join(folder(run), name);
  if (existsSync(path)) return path;
  const draft = join(folder(run), `.${name}.tmp`);
  rmSync(draft, { recursive: true, force: true });
  makeFolder(draft);
  try {
    for (const [part, tensors] of Object.entries(checkpoint.tensors)) {
      saveSafetensors(join(draft, `${part}.safetensors`), tensors);
    }
    const state = `${JSON.stringify(checkpoint.state, null, 2)}\n`;
    writeFileAtomic(join(draft, 'state.json'), [Buffer.from(state)]);
    renameSync(draft, path);
    syncFolder(folder(run));
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
  for (const old of listCheckpoints(run).slice(0, -keep)) {
    rmSync(old, { recursive: true, force: true });
  }
  return path;
}

/** Reads the state of the run in the checkpoint in `path`. */
export function readCheckpointState(path: string): CheckpointState {
  try {
    return JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')) as CheckpointState;
  } catch {
    throw new BantamError(
      `The checkpoint ${path} has no readable state.json; delete that folder to resume from the one before.`,
    );
  }
}

/** Reads the checkpoint in `path`; its tensors are memory-mapped. */
export function readCheckpoint(path: string, parts: readonly string[]): Checkpoint {
  const state = readCheckpointState(path);
  const tensors = parts.map(
    (part) => [part, loadSafetensors(join(path, `${part}.safetensors`)).tensors] as const,
  );
  return { state, tensors: Object.fromEntries(tensors) };
}
