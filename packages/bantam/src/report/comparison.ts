import { openSource, type Source } from '../data/index.js';
import {
  comparisonTitle,
  formatMetric,
  itemsOf,
  verdictOf,
  type Disagreement,
  type HitsComparison,
} from '../eval/index.js';
import { thumbnailOf } from './thumbnail.js';
import { markup, type Content } from './markup.js';
import { renderPage } from './page.js';

export interface ComparisonPageOptions {
  /** Names of the models. */
  readonly names: readonly [string, string];
  /** Specifications of the data, whose images are shown; none: keys alone. */
  readonly specs: readonly string[];
  readonly date: Date;
}

/** Two models compared, with the images on which they disagree, as one self-contained page. */
export async function renderComparison(
  comparisons: readonly HitsComparison[],
  { names, specs, date }: ComparisonPageOptions,
): Promise<string> {
  const find = await imageFinder(specs);
  const sections: Content[] = [];
  for (const comparison of comparisons) sections.push(await section(comparison, names, find));
  return renderPage({
    title: `${names[0]} and ${names[1]}`,
    date,
    facts: null,
    main: sections,
    footer: null,
  });
}

type FindImage = (key: string) => { source: Source; index: number } | undefined;

/** Finds the record of a key in the sources. */
async function imageFinder(specs: readonly string[]): Promise<FindImage> {
  const found = new Map<string, { source: Source; index: number }>();
  for (const spec of specs) {
    const source = await openSource(spec);
    for (let index = 0; index < source.size; index++) {
      found.set(source.record(index).key, { source, index });
    }
  }
  return (key) => found.get(key);
}

async function section(
  comparison: HitsComparison,
  names: readonly [string, string],
  find: FindImage,
): Promise<Content> {
  const { metric, values, onlyFirst, onlySecond, items } = comparison;
  const of = itemsOf(metric, items);
  return markup`
<section>
  <h2>${comparisonTitle(comparison)}</h2>
  <p class="lead">${verdictOf(comparison, names)}</p>
  <dl class="facts">
    <div><dt>${names[0]}</dt><dd>${formatMetric(values[0], 'fraction')}</dd></div>
    <div><dt>${names[1]}</dt><dd>${formatMetric(values[1], 'fraction')}</dd></div>
    <div><dt>only ${names[0]} is right</dt><dd>${onlyFirst} of ${of}</dd></div>
    <div><dt>only ${names[1]} is right</dt><dd>${onlySecond} of ${of}</dd></div>
  </dl>
  ${await gallery(names, 0, comparison.firstRight, find)}
  ${await gallery(names, 1, comparison.secondRight, find)}
</section>`;
}

async function gallery(
  names: readonly [string, string],
  right: 0 | 1,
  items: readonly Disagreement[],
  find: FindImage,
): Promise<Content> {
  if (items.length === 0) return null;
  const wrong = right === 0 ? 1 : 0;
  const cards = await Promise.all(
    items.map(async ({ key, query, truth, answers }) => {
      const image = find(key);
      const shown =
        image === undefined
          ? key
          : markup`<img src="${(await thumbnailOf(image.source, image.index)).uri}" alt="${key}" title="${key}" loading="lazy">`;
      const words =
        query !== undefined
          ? markup`<small>“${query}”</small>`
          : truth === undefined || answers === undefined
            ? null
            : markup`<small><b>${truth}</b>; ${names[wrong]} says ${answers[wrong]}</small>`;
      return markup`<li>${shown}${words}</li>`;
    }),
  );
  return markup`<h3>Only ${names[right]} is right</h3><ul class="images disagreements">${cards}</ul>`;
}
