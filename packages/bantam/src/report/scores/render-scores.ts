import { histogram } from '../histogram.js';
import { markup, type Content, type Markup } from '../markup.js';
import { compact, percent as percentOf } from '../numbers.js';
import { fact, licenceNotes, renderPage } from '../page.js';
import type {
  DuplicateSummary,
  ScoreBand,
  ScoredThumbnail,
  ScorePageData,
  ShownScore,
} from './gather-scores.js';

/** The scores of a data set as one self-contained HTML page. */
export function renderScores(data: ScorePageData): string {
  return renderPage({
    title: 'Scores',
    date: data.date,
    facts: factList(data),
    main: [
      notesSection(data),
      data.scores.filter(({ bands }) => bands.length > 0).map(scoreSection),
      agreementSection(data),
      data.duplicates.map(duplicateSection),
      factSection(data),
    ],
    footer: licenceNotes(data.licences),
  });
}

function factList({ spec, records, headers, scores }: ScorePageData): Content {
  const models = headers.flatMap(({ settings: { model, weights } }) =>
    typeof model === 'string' ? `${model} (weights ${String(weights)})` : [],
  );
  return markup`<dl class="facts">
    ${fact('Records', compact(records))}
    ${fact('Scores', String(scores.length))}
    ${fact('Data', spec, 'wide')}
    ${models.map((model) => fact('Model', model, 'wide'))}
  </dl>`;
}

function notesSection({ notes }: ScorePageData): Content {
  return notes.length === 0
    ? null
    : markup`<ul>${notes.map((note) => markup`<li>${note}</li>`)}</ul>`;
}

function scoreSection({ name, values, bands }: ShownScore): Markup {
  const marks = bands.slice(0, -1).map(({ to, low }) => ({ name: percent(to), value: low }));
  return markup`
<section aria-labelledby="score-${name}">
  <h2 id="score-${name}">${name}</h2>
  <p class="lead">${values.length} records. The marks are the cuts that keep the top 20, 40, 60 and 80 %.
    Below: random images of each band, the highest scores first.</p>
  <div class="card scroll">${histogram({ title: `Histogram of ${name}`, values, xName: name, marks })}</div>
  ${bands.map(bandMarkup)}
</section>`;
}

function bandMarkup({ from, to, low, high, records, examples }: ScoreBand): Markup {
  const removed = from === 0 ? 'kept by every cut' : `removed by keeping the top ${percent(from)}`;
  return markup`
  <h3>${percent(from)} to ${percent(to)}: ${removed}</h3>
  <p class="lead">${records} records with scores from ${digits(high)} to ${digits(low)}.</p>
  ${captionedImages(examples)}`;
}

function captionedImages(images: readonly ScoredThumbnail[]): Markup {
  return markup`<ul class="images">${images.map(
    ({
      uri,
      alt,
      key,
      score,
    }) => markup`<li title="${key}"><img src="${uri}" alt="${alt}" loading="lazy">
      <small>${score === undefined ? '' : `${digits(score)} `}${alt}</small></li>`,
  )}</ul>`;
}

function agreementSection({ agreements }: ScorePageData): Content {
  const [first] = agreements;
  if (first === undefined) return null;
  return markup`
<section aria-labelledby="agreement">
  <h2 id="agreement">Agreement</h2>
  <p class="lead">Spearman's rank correlation of two scores, and of the records that either keeps the fraction that both
    keep.</p>
  <div class="card scroll"><table>
    <thead><tr><th>scores</th><th class="number">correlation</th>${first.overlaps.map(
      ({ fraction }) => markup`<th class="number">top ${percent(fraction)}</th>`,
    )}</tr></thead>
    <tbody>${agreements.map(
      ({ a, b, correlation, overlaps }) => markup`<tr><th>${a}, ${b}</th>
      <td class="number">${correlation.toFixed(2)}</td>${overlaps.map(
        ({ overlap }) => markup`<td class="number">${percent(overlap)}</td>`,
      )}</tr>`,
    )}</tbody>
  </table></div>
</section>`;
}

function duplicateSection({ name, duplicates, groups, examples }: DuplicateSummary): Markup {
  return markup`
<section aria-labelledby="duplicates-${name}">
  <h2 id="duplicates-${name}">Duplicates by ${name}</h2>
  <p class="lead">${duplicates} records duplicate one of ${groups} others. The largest groups:</p>
  ${examples.map(
    ({ size, images }) => markup`
  <h3>${size} images</h3>
  ${captionedImages(images)}`,
  )}
</section>`;
}

/** Histograms of the other scores, and counts of texts. */
function factSection({ scores, texts }: ScorePageData): Content {
  const others = scores.filter(({ bands }) => bands.length === 0);
  if (others.length + texts.length === 0) return null;
  return markup`
<section aria-labelledby="facts">
  <h2 id="facts">Captions and images</h2>
  ${others.map(
    ({ name, values }) => markup`
  <h3>${name}</h3>
  <div class="card scroll">${histogram({ title: `Histogram of ${name}`, values, xName: name })}</div>`,
  )}
  ${texts.map(
    ({ name, counts }) => markup`
  <h3>${name}</h3>
  <div class="card scroll"><table><tbody>${counts.map(
    ([value, count]) => markup`<tr><th>${value}</th><td class="number">${compact(count)}</td></tr>`,
  )}</tbody></table></div>`,
  )}
</section>`;
}

/** A fraction in whole percent. */
function percent(fraction: number): string {
  return percentOf(fraction, 0);
}

function digits(score: number): string {
  return Number.isInteger(score) ? String(score) : score.toPrecision(3);
}
