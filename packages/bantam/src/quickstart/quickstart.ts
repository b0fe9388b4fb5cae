import { getEmoji, type EmojiProgress } from '../data/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import type { EmbedProgress, EvaluationResult } from '../eval/index.js';
import { modelConfig, withChanges } from '../models/index.js';
import type { NextStep } from '../report/index.js';
import { parseBudget, resumeTraining, train, type TrainEvent } from '../train/index.js';
import { evaluateQuickstart } from './evaluate.js';
import { quickstartPaths, quickstartStage, removeQuickstart } from './files.js';
import { defaultOut, nextSteps } from './next-steps.js';
import { quickstartPreset, type QuickstartPreset } from './preset.js';

/** Progress of {@link quickstart}. */
export type QuickstartEvent =
  | { readonly kind: 'data'; readonly progress: EmojiProgress }
  | { readonly kind: 'train'; readonly event: TrainEvent }
  | { readonly kind: 'evaluate'; readonly progress: EmbedProgress & { readonly dataset: string } };

export interface QuickstartOptions {
  /** Folder for the run, the index and the report. Default `quickstart`. */
  readonly out?: string;
  /** Training budget. Default five minutes. A resumed run keeps its own. */
  readonly budget?: string;
  /** Seed of weights, order and augmentation. Default 0. A resumed run keeps its own. */
  readonly seed?: number;
  /** Replace a quickstart in the folder, finished or not. */
  readonly force?: boolean;
  readonly preset?: QuickstartPreset;
  /** Device: `cpu`, `cuda`, `cuda:1`, `mps`; `auto` by default: a GPU if there is one. */
  readonly device?: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: QuickstartEvent) => void;
}

/** Result of {@link quickstart}: paths, metrics, and commands to try next. */
export interface QuickstartResult {
  readonly out: string;
  readonly model: string;
  readonly index: string;
  readonly report: string;
  readonly evaluation: readonly EvaluationResult[];
  readonly next: readonly NextStep[];
}

/**
 * Downloads the emoji data, trains on it, evaluates on in-distribution and out-of-distribution styles
 * and on held-out classes, embeds a search index and writes the report. A call in the folder of an
 * interrupted quickstart resumes it.
 *
 * @throws UsageError when the folder holds a finished quickstart; BantamError when interrupted.
 */
export async function quickstart({
  out = defaultOut,
  budget = '5m',
  seed = 0,
  force = false,
  preset = quickstartPreset,
  device = 'auto',
  signal = new AbortController().signal,
  onEvent = () => undefined,
}: QuickstartOptions = {}): Promise<QuickstartResult> {
  parseBudget(budget);
  const { model, index, report } = quickstartPaths(out);
  if (force) await removeQuickstart(out);
  if (quickstartStage(out) === 'finished') {
    throw new UsageError(
      `The quickstart in ${out} is finished, see ${report}; replace it with --force, or choose another folder with --out.`,
    );
  }
  const emit = (event: QuickstartEvent): void => {
    checkAborted(signal);
    onEvent(event);
  };
  await getEmoji({
    onProgress: (progress) => {
      emit({ kind: 'data', progress });
    },
  });
  checkAborted(signal);
  // On a signal, training ends with a checkpoint.
  const control = {
    device,
    signal,
    onEvent: (event: TrainEvent) => {
      onEvent({ kind: 'train', event });
    },
  };
  const stage = quickstartStage(out);
  if (stage === 'train') {
    const { data, augment, train: settings, tokenizer } = preset;
    await train({
      model: withChanges(modelConfig(preset.model), preset.modelChanges),
      data,
      augment,
      train: settings,
      tokenizer,
      // It is evaluated on data of its own afterwards.
      validation: { data: 'none' },
      seed,
      out,
      budget,
      ...control,
    });
  }
  if (stage === 'resume') await resumeTraining(out, control);
  checkAborted(signal);
  const evaluation = await evaluateQuickstart({
    out,
    preset,
    device,
    onProgress: (progress) => {
      emit({ kind: 'evaluate', progress });
    },
  });
  return { out, model, index, report, evaluation, next: nextSteps(out) };
}

function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) {
    throw new BantamError(
      'The quickstart was interrupted; run the same command again, without --force, to resume it.',
    );
  }
}
