/** A plan as text: the ranked choices, why, what else would help, and the command. */
import { formatBytes } from '../base/format-bytes.js';
import { shellWord } from '../base/shell-word.js';
import type { PlannedChoice, TrainingChoices } from '../study/index.js';
import { formatDuration, formatPercent, formatTable } from './output.js';

/** Choices in the table; the file has more. */
const shown = 5;

/** The ranked choices of a plan. */
export function formatTrainingChoices(plan: TrainingChoices, file: string): string {
  const { choices, notes } = plan;
  const [first] = choices;
  return [
    headOf(plan),
    choiceTable(choices.slice(0, shown), plan.isPriorOnly),
    choices
      .slice(0, shown)
      .map(({ rank, reason }) => `${rank}. ${reason}.`)
      .join('\n'),
    surerText(plan),
    ...(notes.length > 0 ? [notes.join('\n')] : []),
    leftOutText(plan),
    ...(first === undefined
      ? []
      : [
          `Train the first choice:\n  bantam train --from-plan ${shellWord(file)} --out runs/planned\nor the same in full:\n  ${first.command}`,
        ]),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function headOf(plan: TrainingChoices): string {
  const { pairs, validation, metric, runSeconds, pilotSeconds, rungs } = plan;
  const part = validation.isHeldOut ? 'held-out images' : 'images';
  const measured = validation.data === '' ? '' : `, measured on ${validation.images} ${part}`;
  const pilots =
    rungs.length === 0
      ? ''
      : ` after ${formatDuration(pilotSeconds)} of pilots (${rungs.map((rung) => `${rung.candidates.length} × ${formatDuration(rung.seconds)}`).join(', ')})`;
  const only = plan.isPriorOnly
    ? '\nNo pilot was run: this is what is known beforehand, not what these data showed.'
    : '';
  return `${metric} of ${pairs.toLocaleString('en-US')} pairs${measured}: a run of ${formatDuration(runSeconds)}${pilots}.${only}`;
}

function choiceTable(choices: readonly PlannedChoice[], isPriorOnly: boolean): string {
  const rows = choices.map((choice) => [
    String(choice.rank),
    choice.name,
    formatPercent(choice.predicted.value),
    `${formatPercent(choice.predicted.band[0])} to ${formatPercent(choice.predicted.band[1])}`,
    `${Math.round(100 * choice.chanceOfBest)} %`,
    formatEpochs(choice.epochs),
    `${Math.round(choice.samplesPerSecond)}${choice.isRateMeasured ? '' : ' (estimated)'}`,
    formatBytes(choice.bytes),
    ...(isPriorOnly ? [] : [choice.pilots.map(({ value }) => formatPercent(value)).join(', ')]),
  ]);
  const head = ['', 'choice', 'predicted', '80 % band', 'best', 'epochs', 'samples/s', 'memory'];
  return formatTable([[...head, ...(isPriorOnly ? [] : ['pilots'])], ...rows], {
    right: [0, 2, 3, 4, 5, 6, 7],
  });
}

function surerText({ surer }: TrainingChoices): string {
  if (surer === null) return '';
  const { seconds, pilots, now, then } = surer;
  return `Surer: pilots of ${formatDuration(seconds)} more (--pilots ${Math.round(100 * pilots)}%) would narrow the band of the first choice from ±${points(now)} to about ±${points(then)} points.`;
}

function leftOutText({ leftOut }: TrainingChoices): string {
  return leftOut.length === 0
    ? ''
    : `Left out:\n${leftOut.map(({ name, reason }) => `  ${name}: ${reason}`).join('\n')}`;
}

/** `0.62`, `4.1`, `130` */
function formatEpochs(epochs: number): string {
  return epochs < 10 ? epochs.toPrecision(2) : String(Math.round(epochs));
}

function points(value: number): string {
  return (100 * value).toFixed(1);
}
