import { markup, type Content, type Markup } from './markup.js';
import type { ConfusionExample, ReportData, SearchExample, Thumbnail } from './report-data.js';
import { kindTag } from './results-section.js';

/** Text-to-image search: the hits of each query. */
export function searchSection({ searches }: ReportData): Content {
  if (searches.length === 0) return null;
  return markup`
<section aria-labelledby="searches">
  <h2 id="searches">Text-to-image search</h2>
  <p class="lead">For each query, the images with the highest cosine similarity, best first.
    Out-of-distribution styles are absent from the training data.</p>
  <div class="queries">${searches.map(queryMarkup)}</div>
</section>`;
}

function queryMarkup({ query, strips }: SearchExample): Markup {
  return markup`
<article class="card"><h3>“${query}”</h3>${strips.map(
    ({ dataset, kind, hits }) => markup`
  <div class="strip"><p>${dataset}${kindTag(kind)}</p>
    ${imageList('images', hits, ({ score, alt }) => `${alt} (${score.toFixed(2)})`)}
  </div>`,
  )}
</article>`;
}

/** Confusions of classes. */
export function confusionSection({ confusions }: ReportData): Content {
  if (confusions.length === 0) return null;
  return markup`
<section aria-labelledby="confusions">
  <h2 id="confusions">Confusions</h2>
  <p class="lead">The confusions that cost the most accuracy in zero-shot classification.</p>
  <div class="confusions">${confusions.map(confusionMarkup)}</div>
</section>`;
}

function confusionMarkup(example: ConfusionExample): Markup {
  const { dataset, truth, predicted, count, of, mistaken, lookalikes } = example;
  return markup`
<article class="card">
  <h4>${truth} <span>classified as</span> ${predicted}</h4>
  <p>${count} of ${of} images, ${dataset}</p>
  <div class="pair">
    <div><small>misclassified</small>${imageList('few five', mistaken)}</div>
    <div><small>true ${predicted}</small>${imageList('few three', lookalikes)}</div>
  </div>
</article>`;
}

function imageList<T extends Thumbnail>(
  look: string,
  images: readonly T[],
  title: (image: T) => string = ({ alt }) => alt,
): Markup {
  return markup`<ul class="${look}">${images.map(
    (image) =>
      markup`<li><img src="${image.uri}" alt="${image.alt}" title="${title(image)}" loading="lazy"></li>`,
  )}</ul>`;
}
