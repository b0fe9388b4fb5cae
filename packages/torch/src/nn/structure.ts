import { at } from '../at.js';
import type { Module } from './module.js';

/** A part of a module, for people to read. */
export interface Structure {
  /** Names of the fields that hold it: several where neighbours are alike. */
  readonly names: readonly string[];
  /** The class. */
  readonly type: string;
  /** Elements of the parameters in it and below, those of one of the alike parts. */
  readonly parameters: number;
  /** Its own parameters and buffers: `weight [64, 3, 7, 7]`. */
  readonly tensors: readonly string[];
  readonly children: readonly Structure[];
}

/** Structure of a module; consecutive parts of equal structure are merged. */
export function structureOf(module: Module): Structure {
  return describe('', module);
}

function describe(name: string, module: Module): Structure {
  const below = [...module.namedModules()].filter(([path]) => path !== '');
  const direct = below.filter(([path]) => isDirect(path, below));
  const nested = new Set(direct.flatMap(([, child]) => [...child.stateDict().values()]));
  const own = [...module.stateDict()].filter(([, tensor]) => !nested.has(tensor));
  return {
    names: [name],
    type: module.constructor.name,
    parameters: module.parameters().reduce((sum, { size }) => sum + size, 0),
    tensors: own.map(([path, { shape }]) => `${path} [${shape.join(', ')}]`),
    children: joinAlike(direct.map(([path, child]) => describe(path, child))),
  };
}

/** True if no other module of the list is between the root and this one. */
function isDirect(path: string, modules: readonly (readonly [string, Module])[]): boolean {
  return !modules.some(([other]) => other !== path && path.startsWith(`${other}.`));
}

function joinAlike(parts: readonly Structure[]): Structure[] {
  const joined: Structure[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (last !== undefined && key(last) === key(part)) {
      joined[joined.length - 1] = { ...last, names: [...last.names, ...part.names] };
    } else {
      joined.push(part);
    }
  }
  return joined;
}

/** Equal for parts that differ in nothing but their name. */
function key(part: Structure): string {
  return JSON.stringify({ ...part, names: [] });
}

/**
 * A line for each part, indented by its depth, with its count of parameters:
 * `resblocks.0 … 11 (12 ×): ResidualBlock, 7.09M`.
 */
export function formatStructure(structure: Structure, { depth = Infinity } = {}): string[] {
  return lines(structure, '', depth);
}

function lines(part: Structure, indent: string, depth: number): string[] {
  const { names, type, parameters, tensors, children } = part;
  const count = names.length > 1 ? ` (${names.length} ×)` : '';
  const name = joinNames(names);
  const title = `${indent}${name === '' ? '' : `${name}${count}: `}${type}, ${formatCount(parameters)}`;
  if (depth === 0) return [title];
  const inner = `${indent}  `;
  return [
    title,
    ...tensors.map((tensor) => `${inner}${tensor}`),
    ...children.flatMap((child) => lines(child, inner, depth - 1)),
  ];
}

/** `resblocks.0`, …, `resblocks.11` → `resblocks.0 … 11` */
function joinNames(names: readonly string[]): string {
  const [first = ''] = names;
  if (names.length < 2) return first;
  const last = at(names, -1);
  const prefix = first.slice(0, first.lastIndexOf('.') + 1);
  return `${first} … ${last.startsWith(prefix) ? last.slice(prefix.length) : last}`;
}

/** `7.09M`, `768` */
function formatCount(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(2)}M`;
  return count >= 1e4 ? `${(count / 1e3).toFixed(1)}k` : String(count);
}
