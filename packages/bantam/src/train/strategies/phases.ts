import type { TextReduction } from '../../text/index.js';

/** A part of a training, such as the unmasked tuning at the end of FLIP. */
export interface Phase {
  /** For people: `training`, `tuning`. */
  readonly name: string;
  /** Its share of the budget. */
  readonly share: number;
  /** Factor of the learning rate. */
  readonly lr: number;
  /** Edge of the pictures in pixels; null: the model's. */
  readonly imageSize: number | null;
  /** Share of the patches left out; null: as the model's configuration says. */
  readonly patchDropout: number | null;
  /** How captions are shortened; null: not at all. */
  readonly text: TextReduction | null;
}

/** A training that is the same from beginning to end. */
export const onePhase: Phase = {
  name: 'training',
  share: 1,
  lr: 1,
  imageSize: null,
  patchDropout: null,
  text: null,
};

/** A training with shortened pictures or captions, then a short one at full length. */
export function reducedThenFull(
  reduced: Partial<Pick<Phase, 'imageSize' | 'patchDropout' | 'text'>>,
  { tuneShare, tuneLr }: { tuneShare: number; tuneLr: number },
): Phase[] {
  const first: Phase = { ...onePhase, ...reduced, name: 'reduced', share: 1 - tuneShare };
  const tuning: Phase = {
    ...onePhase,
    patchDropout: reduced.patchDropout === undefined ? null : 0,
    name: 'tuning',
    share: tuneShare,
    lr: tuneLr,
  };
  return tuneShare > 0 ? [first, tuning] : [first];
}

/** Where a training stands: its present phase, and that phase's bounds as shares of the budget. */
export interface PhasePosition {
  readonly phase: Phase;
  readonly start: number;
  readonly end: number;
}

/** The phase at a share of the budget; one that is just over gives way to the next. */
export function phaseAt(phases: readonly Phase[], progress: number): PhasePosition {
  let start = 0;
  for (const phase of phases.slice(0, -1)) {
    const end = start + phase.share;
    if (progress < end) return { phase, start, end };
    start = end;
  }
  return { phase: phases.at(-1) ?? onePhase, start, end: 1 };
}
