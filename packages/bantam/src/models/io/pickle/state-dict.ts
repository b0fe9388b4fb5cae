import { BantamError } from '../../../base/errors.js';
import { PickledModule, PickledTensor, type TorchFile } from './values.js';

/**
 * Members of a checkpoint that may hold the weights. A moving average comes first: it is what their
 * trainers evaluate (timm's `load_state_dict` has the same order).
 */
const holders = [
  'state_dict_ema',
  'model_ema',
  'ema_state_dict',
  'ema',
  'state_dict',
  'model_state_dict',
  'model',
  'module',
  'net',
];

/**
 * The weights of a file of `torch.save` or TorchScript: the state dict itself, or the one within a
 * checkpoint of OpenCLIP, Lightning, timm or DeepSpeed, whose other members are left.
 *
 * @throws BantamError if there is none.
 */
export function stateDictOf(file: TorchFile): Map<string, PickledTensor> {
  const { path, value } = file;
  if (value instanceof PickledModule) return scriptedState(value, file);
  const found = stateIn(value, 3);
  if (found !== null) return found;
  const inside = value instanceof Map ? [...value.keys()].slice(0, 5).map(String).join(', ') : '';
  throw new BantamError(
    `${path} holds no state dict${inside === '' ? '' : ` (it has ${inside})`}; save the model's state_dict() with torch.save.`,
  );
}

/** Tensors by name, in the value or in one of its holders, `depth` levels down at most. */
function stateIn(value: unknown, depth: number): Map<string, PickledTensor> | null {
  if (!(value instanceof Map)) return null;
  for (const name of depth > 0 ? holders : []) {
    const found = stateIn(value.get(name), depth - 1);
    if (found !== null) return found;
  }
  const tensors = [...value].filter(
    (entry): entry is [string, PickledTensor] =>
      typeof entry[0] === 'string' && entry[1] instanceof PickledTensor,
  );
  return tensors.length === 0 ? null : new Map(tensors);
}

/** Parameters and buffers of a TorchScript module, as its `state_dict()` names them. */
function scriptedState(
  root: PickledModule,
  { members, path }: TorchFile,
): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  const pending: [prefix: string, module: PickledModule, depth: number][] = [['', root, 0]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [prefix, { className, state }, depth] = next;
    const own = members.get(String(className));
    for (const [key, value] of state) {
      const name = `${prefix}${String(key)}`;
      if (value instanceof PickledModule && depth < DEEPEST) {
        pending.push([`${name}.`, value, depth + 1]);
      } else if (value instanceof PickledTensor && own?.has(String(key)) === true) {
        tensors.set(name, value);
      }
      if (pending.length + tensors.size > MOST_MEMBERS) {
        throw new BantamError(
          `${path} has more modules than any model has; fetch or save it again.`,
        );
      }
    }
  }
  return tensors;
}

/** Modules within modules, and members of all, at most: a damaged archive may hold itself. */
const DEEPEST = 64;
const MOST_MEMBERS = 1 << 20;
