import { othersNote, type PlannedChoice, type TrainingChoices } from '../study/index.js';
import { dotPlot } from './dot-plot.js';
import { markup, type Content } from './markup.js';
import { countOf } from '../base/count-of.js';
import { formatBytes } from '../base/format-bytes.js';
import { compact, duration } from './numbers.js';
import { fact, renderPage } from './page.js';
import { plot } from './plot.js';

/** Options of {@link renderPlan}. */
export interface PlanPageOptions {
  /** Command that made the plan. */
  readonly command: string;
  readonly date: Date;
}

/** Choices whose curves a plot has room for. */
const drawn = 6;

/**
 * A plan as one self-contained HTML page: the choices with their bands, what each would reach in more or
 * less time, the frontier of the best at each time, and what was left out.
 */
export function renderPlan(plan: TrainingChoices, { command, date }: PlanPageOptions): string {
  return renderPage({
    title: `What to train in ${plan.budget}`,
    date,
    facts: factList(plan),
    main: [
      choiceSection(plan),
      frontierSection(plan),
      pilotSection(plan),
      leftOutSection(plan),
      noteSection(plan, command),
    ],
    footer: null,
  });
}

function factList(plan: TrainingChoices): Content {
  const { machine, validation, pairs, forecasts, runSeconds, pilotSeconds } = plan;
  const measured =
    validation.data === '' ? 'nothing' : `${validation.images} images of ${validation.data}`;
  return markup`<dl class="facts">
    ${fact('Pairs', pairs.toLocaleString('en-US'))}
    ${fact('Candidates that fit', String(forecasts.length))}
    ${fact('Pilots', duration(pilotSeconds))}
    ${fact('Run', duration(runSeconds))}
    ${fact('Data', plan.data, 'wide')}
    ${fact('Measured on', `${plan.metric} of ${measured}`, 'wide')}
    ${fact('Machine', `${machine.cpu}, ${countOf(machine.cores, 'core')}, ${countOf(machine.threads, 'thread')}`, 'wide')}
  </dl>`;
}

function choiceSection(plan: TrainingChoices): Content {
  const { choices, isPriorOnly, metric } = plan;
  const others = othersNote(plan, choices.length);
  const lead = isPriorOnly
    ? 'No pilot was run: predictions are what is known beforehand, not what these data showed.'
    : 'Predicted by the learning curves of the pilots; 80 % of new runs fall into the bands if the curves hold that far.';
  return markup`
<section aria-labelledby="choices">
  <h2 id="choices">Choices</h2>
  <p class="lead">${lead}</p>
  <div class="card scroll">
  ${dotPlot({
    title: `Predicted ${metric} of each choice with 80 % bands`,
    xName: metric,
    dots: choices.map(({ rank, name, predicted: { value, band } }) => {
      return { name: `${rank}. ${name}`, value, low: band[0], high: band[1] };
    }),
    format: percent,
  })}
  <table class="dense choices">
  <thead><tr><th scope="col">choice</th>${figures.map(
    (name) => markup`<th scope="col" class="number">${name}</th>`,
  )}</tr></thead>
  ${choices.map((choice) => choiceRows(choice))}</table>
  ${others === undefined ? null : markup`<p>${others}</p>`}
  </div>
</section>`;
}

/** Columns of numbers of a choice. */
const figures = ['predicted', '80 % band', 'chance of best', 'epochs', 'samples/s', 'memory'];

/** A choice in numbers, and its reason in a line below. */
function choiceRows(choice: PlannedChoice): Content {
  const { name, predicted, chanceOfBest, epochs, samplesPerSecond, bytes, reason } = choice;
  const [low, high] = predicted.band;
  return markup`<tbody><tr><th scope="row">${choice.rank}. ${name}</th>${[
    percent(predicted.value),
    `${(100 * low).toFixed(1)} to ${percent(high)}`,
    percent(chanceOfBest),
    compact(epochs),
    `${Math.round(samplesPerSecond)}${choice.isRateMeasured ? '' : ' (estimated)'}`,
    formatBytes(bytes),
  ].map((cell) => markup`<td class="number">${cell}</td>`)}</tr>
    <tr><td class="why" colspan="${figures.length + 1}">${reason}</td></tr></tbody>`;
}

/** The best choice of each time. */
function frontierSection({ choices, metric }: TrainingChoices): Content {
  const shown = choices.slice(0, drawn);
  const times = choices[0]?.curve.map(({ seconds }) => seconds) ?? [];
  const best = times.map((seconds, i) => {
    const there = choices.flatMap(({ name, curve }) =>
      curve.slice(i, i + 1).map(({ value }) => ({ name, value })),
    );
    return { seconds, ...there.reduce((a, b) => (b.value > a.value ? b : a)) };
  });
  return markup`
<section aria-labelledby="frontier">
  <h2 id="frontier">More or less time</h2>
  <p class="lead">Each choice in runs of other lengths, each with a schedule of its own; the table has the best of each.</p>
  <div class="card scroll">
  ${plot({
    title: `Predicted ${metric} by time`,
    x: { name: 'training time', scale: 'log', format: duration, ticks: times },
    y: { name: metric, format: percent },
    series: shown.map(({ name, curve }) => ({
      name,
      points: curve.map(({ seconds, value }) => ({ x: seconds, y: value })),
    })),
    width: 720,
    height: 420,
  })}
  <table class="dense"><thead><tr><th scope="col">time</th><th scope="col">best choice</th>
    <th scope="col" class="number">predicted</th></tr></thead>
  <tbody>${best.map(
    ({ seconds, name, value }) =>
      markup`<tr><th scope="row">${duration(seconds)}</th><td>${name}</td><td class="number">${percent(value)}</td></tr>`,
  )}</tbody></table>
  </div>
</section>`;
}

function pilotSection({ rungs, choices }: TrainingChoices): Content {
  if (rungs.length === 0) return null;
  const pilots = choices.flatMap(({ name, pilots: own }) => own.map((one) => ({ name, ...one })));
  return markup`
<section aria-labelledby="pilots">
  <h2 id="pilots">Pilots</h2>
  <p class="lead">${rungs.map((rung) => `${rung.candidates.length} of ${duration(rung.seconds)}`).join(', ')}; the chances of the best decide who goes on.</p>
  <div class="card scroll"><table class="dense"><thead><tr><th scope="col">choice</th>${[
    'samples',
    'seconds',
    'measured',
    '± sampling',
  ].map(
    (name) => markup`<th scope="col" class="number">${name}</th>`,
  )}<th scope="col">run</th></tr></thead>
  <tbody>${pilots.map(
    ({ name, samples, seconds, value, samplingError, run }) =>
      markup`<tr><th scope="row">${name}</th>${[
        samples.toLocaleString('en-US'),
        seconds.toFixed(0),
        percent(value),
        percent(1.96 * samplingError),
      ].map((cell) => markup`<td class="number">${cell}</td>`)}<td><code>${run}</code></td></tr>`,
  )}</tbody></table></div>
</section>`;
}

function leftOutSection({ leftOut }: TrainingChoices): Content {
  if (leftOut.length === 0) return null;
  return markup`
<section aria-labelledby="left-out">
  <h2 id="left-out">Left out</h2>
  <ul>${leftOut.map(({ name, reason }) => markup`<li>${name}: ${reason}</li>`)}</ul>
</section>`;
}

function noteSection({ notes, choices }: TrainingChoices, command: string): Content {
  const [first] = choices;
  return markup`
<section aria-labelledby="commands">
  <h2 id="commands">Commands</h2>
  ${notes.map((note) => markup`<p>${note}</p>`)}
  ${first === undefined ? null : markup`<p>The first choice: <code>${first.command}</code></p>`}
  <p>The page was made by <code>${command}</code>.</p>
</section>`;
}

/** `76.3 %` */
function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
