import { markup, type Content } from './markup.js';
import { compact, duration } from './numbers.js';
import { confusionSection, searchSection } from './image-sections.js';
import type { ReportData } from './report-data.js';
import { fact, licenceNotes, renderPage } from './page.js';
import { resultsSection } from './results-section.js';
import { trainingSection } from './training-section.js';

/**
 * A training run and its evaluation as one self-contained HTML page: images and charts
 * are inlined, and nothing is fetched. Sections without content are omitted.
 */
export function renderReport(data: ReportData): string {
  return renderPage({
    title: data.title,
    date: data.date,
    facts: factList(data),
    main: [
      trainingSection(data),
      resultsSection(data),
      searchSection(data),
      confusionSection(data),
      nextSection(data),
    ],
    footer: licenceNotes(data.licences),
  });
}

function factList({ run }: ReportData): Content {
  const { model, parameters, samplesSeen, seconds, machine, data, batchSize, precision } = run;
  const short: [string, string][] = [
    ['Model', model],
    ['Parameters', compact(parameters)],
    ['Samples seen', compact(samplesSeen)],
    ['Training time', duration(seconds)],
    ['Samples per second', compact(Math.round(samplesSeen / seconds))],
    ['Batch, precision', `${batchSize}, ${precision}`],
  ];
  const seed: [string, string][] = run.seed === undefined ? [] : [['Seed', String(run.seed)]];
  const long: [string, string][] = [['Machine', machine], ['Data', data], ...seed];
  return markup`<dl class="facts">
    ${short.map(([name, value]) => fact(name, value, ''))}
    ${[...long, ...Object.entries(run.more ?? {})].map(([name, value]) => fact(name, value, 'wide'))}
  </dl>`;
}

function nextSection({ next }: ReportData): Content {
  if (next.length === 0) return null;
  return markup`
<section aria-labelledby="next">
  <h2 id="next">Next steps</h2>
  <ol class="next">${next.map(
    ({ what, command }) => markup`<li class="card">${what}<code>${command}</code></li>`,
  )}</ol>
</section>`;
}
