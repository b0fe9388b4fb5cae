import { getEmoji, type EmojiProgress } from '../data/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import type { EmbedProgress, EvaluationResult } from '../eval/index.js';
import type { NextStep } from '../report/index.js';
import { parseBudget, resumeTraining, train, type TrainEvent } from '../train/index.js';
import { evaluateQuickstart } from './evaluate.js';
import { quickstartPaths, quickstartStage, removeQuickstart } from './files.js';
import { defaultOut, nextSteps } from './next-steps.js';
import { quickstartRecipe, type QuickstartRecipe } from './recipe.js';

/** What {@link quickstart} reports while it goes on. */
export type QuickstartEvent =
  | { readonly kind: 'data'; readonly progress: EmojiProgress }
  | { readonly kind: 'train'; readonly event: TrainEvent }
  | { readonly kind: 'evaluate'; readonly progress: EmbedProgress & { readonly dataset: string } };

export interface QuickstartOptions {
  /** Folder for everything that comes of it; `quickstart` by default. */
  readonly out?: string;
  /** How long to train; five minutes by default. A run that goes on keeps the budget it has. */
  readonly budget?: string;
  /** Start anew where the folder holds a quickstart, finished or not. */
  readonly force?: boolean;
  readonly recipe?: QuickstartRecipe;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: QuickstartEvent) => void;
}

/** What came of it: paths, what the model scores, and commands to try. */
export interface QuickstartResult {
  readonly out: string;
  readonly model: string;
  readonly index: string;
  readonly report: string;
  readonly evaluation: readonly EvaluationResult[];
  readonly next: readonly NextStep[];
}

/**
 * From nothing to a model and a report: gets the emoji data, trains on it, evaluates on styles and
 * concepts that were seen and not seen, embeds pictures to search in, writes the report. A call in
 * the folder of an interrupted quickstart goes on with it.
 *
 * @throws UsageError when the folder holds a finished quickstart; BantamError when interrupted.
 */
export async function quickstart({
  out = defaultOut,
  budget = '5m',
  force = false,
  recipe = quickstartRecipe,
  signal = new AbortController().signal,
  onEvent = () => undefined,
}: QuickstartOptions = {}): Promise<QuickstartResult> {
  parseBudget(budget);
  const { model, index, report } = quickstartPaths(out);
  if (force) await removeQuickstart(out);
  if (quickstartStage(out) === 'finished') {
    throw new UsageError(
      `The quickstart in ${out} is finished, see ${report}; do it again with --force, or elsewhere with --out.`,
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
  // Training stops by itself, with a checkpoint.
  const control = {
    signal,
    onEvent: (event: TrainEvent) => {
      onEvent({ kind: 'train', event });
    },
  };
  const stage = quickstartStage(out);
  if (stage === 'train') {
    const { model: preset, data, train: settings, tokenizer } = recipe;
    await train({ model: preset, data, train: settings, tokenizer, out, budget, ...control });
  }
  if (stage === 'resume') await resumeTraining(out, control);
  checkAborted(signal);
  const evaluation = await evaluateQuickstart({
    out,
    recipe,
    onProgress: (progress) => {
      emit({ kind: 'evaluate', progress });
    },
  });
  return { out, model, index, report, evaluation, next: nextSteps(out) };
}

function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) {
    throw new BantamError(
      'The quickstart was interrupted; the same command, without --force, goes on with it.',
    );
  }
}
