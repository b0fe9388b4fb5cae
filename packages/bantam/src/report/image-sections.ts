import { markup, type Content, type Markup } from './markup.js';
import type { ConfusionExample, Picture, ReportData, SearchExample } from './report-data.js';
import { kindTag } from './results-section.js';

/** The pictures that the model finds for texts. */
export function searchSection({ searches }: ReportData): Content {
  if (searches.length === 0) return null;
  return markup`
<section aria-labelledby="searches">
  <h2 id="searches">What it finds</h2>
  <p class="lead">For each text, the pictures whose features are closest to it, the best first. Unseen
    styles were drawn in a way that the model was never trained on.</p>
  <div class="queries">${searches.map(queryMarkup)}</div>
</section>`;
}

function queryMarkup({ query, strips }: SearchExample): Markup {
  return markup`
<article class="card"><h3>“${query}”</h3>${strips.map(
    ({ dataset, kind, hits }) => markup`
  <div class="strip"><p>${dataset}${kindTag(kind)}</p>
    ${pictureList('pictures', hits, ({ score, alt }) => `${alt} (${score.toFixed(2)})`)}
  </div>`,
  )}
</article>`;
}

/** The classes that the model takes for one another. */
export function confusionSection({ confusions }: ReportData): Content {
  if (confusions.length === 0) return null;
  return markup`
<section aria-labelledby="confusions">
  <h2 id="confusions">What it confuses</h2>
  <p class="lead">The mistakes that cost the most accuracy in zero-shot classification.</p>
  <div class="confusions">${confusions.map(confusionMarkup)}</div>
</section>`;
}

function confusionMarkup(example: ConfusionExample): Markup {
  const { dataset, truth, predicted, count, of, mistaken, lookalikes } = example;
  return markup`
<article class="card">
  <h4>${truth} <span>taken for</span> ${predicted}</h4>
  <p>${count} of ${of} pictures, ${dataset}</p>
  <div class="pair">
    <div><small>mistaken</small>${pictureList('few five', mistaken)}</div>
    <div><small>really ${predicted}</small>${pictureList('few three', lookalikes)}</div>
  </div>
</article>`;
}

function pictureList<P extends Picture>(
  look: string,
  pictures: readonly P[],
  title: (picture: P) => string = ({ alt }) => alt,
): Markup {
  return markup`<ul class="${look}">${pictures.map(
    (picture) =>
      markup`<li><img src="${picture.uri}" alt="${picture.alt}" title="${title(picture)}" loading="lazy"></li>`,
  )}</ul>`;
}
