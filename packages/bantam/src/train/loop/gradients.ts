import {
  add,
  autocast,
  backward,
  cat,
  mul,
  narrow,
  noGrad,
  scope,
  type RandomStreams,
  type Tensor,
} from '@bantam/torch';
import { withGradCheckpointing } from '../../models/index.js';
import { BufferSnapshot } from './buffer-snapshot.js';
import type {
  EncodeContext,
  Features,
  LossContext,
  Losses,
  StepBatch,
  Strategy,
} from '../strategies/strategy.js';

/** What {@link addGradients} works on. */
export interface GradientOptions {
  readonly strategy: Strategy;
  readonly encode: EncodeContext;
  readonly losses: LossContext;
  /** Factor of the loss. */
  readonly weight: number;
  /** Compute activations of the towers' blocks again in the backward pass instead of keeping them. */
  readonly gradCheckpointing: boolean;
}

/** The samples of one pass through the towers. */
export interface Piece {
  readonly size: number;
  /** Makes the tensors; called once per pass, so that they need not be kept. */
  load(): StepBatch;
}

/**
 * Adds the gradients of `weight` times the sum of the losses over all pieces to the parameters, and
 * returns the losses by name.
 *
 * Several pieces are one contrastive batch on the memory of one of them (gradient cache, Gao et al.
 * 2021, section 3): features without graph, the losses over all features and their gradients, then
 * each piece's features again with graph, with those gradients backwards through them. Random
 * streams are set back in between, so both passes draw the same; temperature and whatever else only
 * the losses use get their gradient once, and targets are computed once. Batch norms normalise by the
 * piece at hand.
 */
export function addGradients(
  pieces: readonly Piece[],
  options: GradientOptions,
): Record<string, number> {
  const [piece, ...more] = pieces;
  if (piece === undefined) return {};
  return scope(() => {
    if (more.length > 0) return addInPieces(pieces, options);
    const batch = piece.load();
    const features = { ...encode(batch, options), ...targetsOf(batch, options) };
    const losses = options.strategy.losses(features, options.losses);
    total(losses, options).backward();
    return values(losses);
  });
}

function encode(batch: StepBatch, options: GradientOptions): Features {
  const { strategy, encode, losses, gradCheckpointing } = options;
  return withGradCheckpointing(gradCheckpointing, () =>
    autocast(losses.precision, () => strategy.encode(batch, encode)),
  );
}

function targetsOf(batch: StepBatch, { strategy, encode, losses }: GradientOptions): Features {
  return noGrad(() =>
    scope(() => autocast(losses.precision, () => strategy.targets?.(batch, encode) ?? {})),
  );
}

/** The rows of all pieces, by name. */
function joined(parts: readonly Features[]): Features {
  const names = Object.keys(parts[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, cat(parts.flatMap((part) => part[name] ?? []))]),
  );
}

function total(losses: Losses, { weight }: GradientOptions): Tensor {
  const [first, ...rest] = Object.values(losses);
  if (first === undefined) throw new RangeError('The strategy has no loss.');
  const sum = rest.reduce(add, first);
  return weight === 1 ? sum : mul(sum, weight);
}

function values(losses: Losses): Record<string, number> {
  return Object.fromEntries(Object.entries(losses).map(([name, loss]) => [name, loss.item()]));
}

function addInPieces(pieces: readonly Piece[], options: GradientOptions): Record<string, number> {
  const { strategy } = options;
  const { model, streams } = options.encode;
  const buffers = new BufferSnapshot([model]);
  const states: ReturnType<RandomStreams['state']>[] = [];
  const parts = noGrad(() =>
    pieces.map((piece) => {
      states.push(streams.state());
      return scope(() => {
        const batch = piece.load();
        return { features: encode(batch, options), targets: targetsOf(batch, options) };
      });
    }),
  );
  // Statistics that training keeps see every piece once: in the second pass.
  buffers.restore();
  const whole = joined(parts.map(({ features }) => features));
  for (const feature of Object.values(whole)) feature.requiresGrad = true;
  const targets = joined(parts.map(({ targets }) => targets));
  const losses = strategy.losses({ ...whole, ...targets }, options.losses);
  total(losses, options).backward();
  let start = 0;
  for (const [i, piece] of pieces.entries()) {
    const first = start;
    start += piece.size;
    scope(() => {
      streams.setState(states[i] ?? {});
      const again = Object.entries(encode(piece.load(), options)).flatMap(([name, feature]) => {
        const gradient = whole[name]?.grad;
        if (!feature.requiresGrad || gradient === undefined || gradient === null) return [];
        return [{ feature, gradient: narrow(gradient, 0, first, piece.size) }];
      });
      if (again.length === 0) return;
      backward(
        again.map(({ feature }) => feature),
        again.map(({ gradient }) => gradient),
      );
    });
  }
  return values(losses);
}
