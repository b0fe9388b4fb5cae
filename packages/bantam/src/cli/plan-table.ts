/** A plan as text: the ranked choices, why, what else would help, and the command. */
import { shellWord } from '../base/shell-word.js';
import { othersNote, type PlannedChoice, type TrainingChoices } from '../study/index.js';
import { formatBytes } from '../base/format-bytes.js';
import { formatDuration, formatPercent, formatTable } from './output.js';

/** Choices in the table; the file has more. */
const shown = 5;

/** The ranked choices of a plan. */
export function formatTrainingChoices(plan: TrainingChoices, file: string): string {
  const { choices, notes } = plan;
  const [first] = choices;
  const table = choiceTable(choices.slice(0, shown), plan.isPriorOnly);
  const others = othersNote(plan, shown);
  return [
    headOf(plan),
    others === undefined ? table : `${table}\n${others}`,
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
  const { pairs, validation, metric } = plan;
  const images = `${validation.images} ${validation.isHeldOut ? 'held-out images' : 'images'}`;
  const measured =
    validation.data === ''
      ? `nothing to measure on: predictions are as if for ${images}`
      : `measured on ${images}`;
  const chance = `chance ${formatPercent(validation.chance)}`;
  const only = plan.isPriorOnly
    ? '\nNo pilot was run: this is what is known beforehand, not what these data showed.'
    : '';
  return `${metric} of ${pairs.toLocaleString('en-US')} pairs, ${measured}, ${chance}.\n${budgetText(plan)}${only}`;
}

/** The parts of the budget; those of less than half a second are not named. */
function budgetText(plan: TrainingChoices): string {
  const { seconds, measuringSeconds, pilotSeconds, runSeconds, rungs } = plan;
  const pilots = rungs
    .map((rung) => `${rung.candidates.length} × ${formatDuration(rung.seconds)}`)
    .join(', ');
  const parts = [
    { name: 'timing', took: measuringSeconds, remark: '' },
    {
      name: 'pilots',
      took: pilotSeconds,
      remark: ` (${pilots} of training, with processes and evaluation)`,
    },
    {
      name: 'validation and saving',
      took: seconds - measuringSeconds - pilotSeconds - runSeconds,
      remark: '',
    },
  ]
    .filter(({ took }) => took >= 0.5)
    .map(({ name, took, remark }) => `${name} ${formatDuration(took)}${remark}, `)
    .join('');
  return `${formatDuration(seconds)}: ${parts}the run ${formatDuration(runSeconds)}.`;
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
  return `Surer: pilots of ${formatDuration(seconds)} more (about --pilots ${Math.ceil(100 * pilots - 1e-9)}%) would narrow the band of the first choice from ±${points(now)} to about ±${points(then)} points.`;
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
