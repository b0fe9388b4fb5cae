import { openSource, type Source } from '../data/index.js';
import { formatMetric, verdictOf, type Disagreement, type HitsComparison } from '../eval/index.js';
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
  const { dataset, task, labels, metric, values, onlyFirst, onlySecond, items } = comparison;
  return markup`
<section>
  <h2>${dataset}: ${task}${labels === undefined ? '' : ` of ${labels}`}, ${metric}</h2>
  <p class="lead">${verdictOf(comparison, names)}</p>
  <dl class="facts">
    <div><dt>${names[0]}</dt><dd>${formatMetric(values[0], 'fraction')}</dd></div>
    <div><dt>${names[1]}</dt><dd>${formatMetric(values[1], 'fraction')}</dd></div>
    <div><dt>only ${names[0]} is right</dt><dd>${onlyFirst} of ${items}</dd></div>
    <div><dt>only ${names[1]} is right</dt><dd>${onlySecond} of ${items}</dd></div>
  </dl>
  ${await gallery(`Only ${names[0]} is right`, comparison.firstRight, find)}
  ${await gallery(`Only ${names[1]} is right`, comparison.secondRight, find)}
</section>`;
}

async function gallery(
  title: string,
  items: readonly Disagreement[],
  find: FindImage,
): Promise<Content> {
  if (items.length === 0) return null;
  const cards = await Promise.all(
    items.map(async ({ key, truth, answers }) => {
      const image = find(key);
      const shown =
        image === undefined
          ? key
          : markup`<img src="${(await thumbnailOf(image.source, image.index)).uri}" alt="${key}" title="${key}" loading="lazy">`;
      const words =
        truth === undefined || answers === undefined
          ? null
          : markup`<small>${truth}; taken for ${answers[0]} and ${answers[1]}</small>`;
      return markup`<li>${shown}${words}</li>`;
    }),
  );
  return markup`<h3>${title}</h3><ul class="images disagreements">${cards}</ul>`;
}
