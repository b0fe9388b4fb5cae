import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import {
  at,
  loadSafetensors,
  readSafetensorsHeader,
  TorchError,
  type SafetensorsHeader,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { stateDictOf } from './pickle/state-dict.js';
import { isTorchFile, openTorchFile, readPickledTensors } from './pickle/torch-file.js';
import { withoutPrefix } from './prefixes.js';

/** Endings of files with weights. */
export const weightEndings = ['.safetensors', '.bin', '.pt', '.pth', '.ckpt'];

/** True if a file of this name may hold weights. */
export function isWeightsName(file: string): boolean {
  return weightEndings.some((ending) => file.endsWith(ending));
}

/** A file's weights: names and shapes at once, elements when they are read. */
export interface WeightsFile {
  /** Shapes by name, without the prefixes of wrappers ({@link withoutPrefix}). */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** True for an archive of TorchScript, as OpenAI published its models. */
  readonly scripted: boolean;
  /** The tensors, views of the mapped file. It runs within a scope. */
  readonly read: () => ReadonlyMap<string, Tensor>;
}

/**
 * Opens a file of weights, or the several that one model is split into: safetensors, or files of
 * PyTorch ({@link openTorchFile}). Their first bytes tell which, whatever their names are.
 *
 * @param name - The file, or the index of several, for messages
 * @throws BantamError if one is damaged, or no file of weights.
 */
export function openWeights(paths: readonly string[], name = at(paths, 0)): WeightsFile {
  const files = paths.map(openOne);
  const merged = new Map(files.flatMap(({ shapes }) => [...shapes]));
  return {
    shapes: withoutPrefix(merged, name),
    scripted: files.some(({ scripted }) => scripted),
    read: () => withoutPrefix(new Map(files.flatMap(({ read }) => [...read()])), name),
  };
}

function openOne(path: string): WeightsFile {
  const start = firstBytes(path);
  if (isTorchFile(start)) {
    const file = openTorchFile(path);
    const tensors = stateDictOf(file);
    return {
      shapes: new Map([...tensors].map(([name, { shape }]) => [name, shape])),
      scripted: file.scripted,
      read: () => readPickledTensors(file, tensors),
    };
  }
  refuseOthers(path, start);
  const { entries } = headerOf(path);
  return {
    shapes: new Map([...entries].map(([name, { shape }]) => [name, shape])),
    scripted: false,
    read: () => rethrowing(() => loadSafetensors(path).tensors),
  };
}

/** The header of a safetensors file, under whatever name. */
function headerOf(path: string): SafetensorsHeader {
  try {
    return rethrowing(() => readSafetensorsHeader(path));
  } catch (error) {
    if (!(error instanceof BantamError) || path.endsWith('.safetensors') || !existsSync(path)) {
      throw error;
    }
    throw new BantamError(
      `${path} is neither a file of PyTorch nor of safetensors, or is damaged; fetch or save it again.`,
    );
  }
}

/** Bytes that tell a file's kind. */
const START_BYTES = 300;

function firstBytes(path: string): Buffer {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(START_BYTES);
      return bytes.subarray(0, readSync(file, bytes, 0, START_BYTES, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    // Whoever opens it next says why it cannot be read.
    return Buffer.alloc(0);
  }
}

/** @throws BantamError for kinds of files that are often in the place of weights. */
function refuseOthers(path: string, start: Buffer): void {
  const text = start.toString('latin1');
  if (text.startsWith('version https://git-lfs')) {
    throw new BantamError(
      `${path} is a pointer of Git LFS, not the file itself; fetch it with "git lfs pull".`,
    );
  }
  if (/^\s*<(?:!doctype|html)/i.test(text)) {
    throw new BantamError(`${path} is a web page, not a file of weights; fetch it again.`);
  }
  if (start.toString('latin1', 257, 262) === 'ustar') {
    throw new BantamError(
      `${path} is a tar archive, as PyTorch wrote before version 0.4; save it anew with a current version.`,
    );
  }
}

function rethrowing<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw new BantamError(error.message);
  }
}
