import type { TextReduction } from '../../text/index.js';

/** A part of a training, such as the unmasked tuning at the end of FLIP. */
export interface Phase {
  /** For people: `training`, `tuning`. */
  readonly name: string;
  /** Its fraction of the budget. */
  readonly fraction: number;
  /** Multiplier of the learning rate. */
  readonly lr: number;
  /** Weights that learn, of those that are not frozen: all, or those after the towers' last blocks. */
  readonly trains: 'all' | 'head';
  /** Size of the images in pixels; null: the model's. */
  readonly imageSize: number | null;
  /** Fraction of the patches that are dropped; null: the model configuration's. */
  readonly patchDropout: number | null;
  /** How captions are shortened; null: not at all. */
  readonly text: TextReduction | null;
}

/** A training that is the same from beginning to end. */
export const onePhase: Phase = {
  name: 'training',
  fraction: 1,
  lr: 1,
  trains: 'all',
  imageSize: null,
  patchDropout: null,
  text: null,
};

/** A training with reduced images or captions, then a short one at full length. */
export function reducedThenFull(
  reduced: Partial<Pick<Phase, 'imageSize' | 'patchDropout' | 'text'>>,
  { tuneFraction, tuneLr }: { tuneFraction: number; tuneLr: number },
): Phase[] {
  const first: Phase = { ...onePhase, ...reduced, name: 'reduced', fraction: 1 - tuneFraction };
  const tuning: Phase = {
    ...onePhase,
    patchDropout: reduced.patchDropout === undefined ? null : 0,
    name: 'tuning',
    fraction: tuneFraction,
    lr: tuneLr,
  };
  return tuneFraction > 0 ? [first, tuning] : [first];
}

/** A training of the head alone in front of a training that is the same from beginning to end. */
export function headFirst(
  training: Phase,
  { headFraction, headLr }: { headFraction: number; headLr: number },
): Phase[] {
  return [
    { ...training, name: 'head', trains: 'head', fraction: headFraction, lr: headLr },
    { ...training, fraction: 1 - headFraction },
  ];
}

/** A sentence about a phase that begins after another one, with its first step and peak learning rate. */
export function describePhase(
  phase: Phase,
  { before, step, lr }: { readonly before: Phase; readonly step: number; readonly lr: number },
): string {
  const change =
    before.trains === 'head' && phase.trains === 'all'
      ? 'all weights train, no longer the head alone'
      : 'images and captions are whole';
  return `From step ${step} on ${change}, at a peak learning rate of ${Number((lr * phase.lr).toPrecision(3))}.`;
}

/** The present phase of a training, and its bounds as fractions of the budget. */
export interface PhasePosition {
  readonly phase: Phase;
  readonly start: number;
  readonly end: number;
}

/** The phase at a fraction of the budget; at its end, the next one. */
export function phaseAt(phases: readonly Phase[], progress: number): PhasePosition {
  let start = 0;
  for (const phase of phases.slice(0, -1)) {
    const end = start + phase.fraction;
    if (progress < end) return { phase, start, end };
    start = end;
  }
  return { phase: phases.at(-1) ?? onePhase, start, end: 1 };
}
