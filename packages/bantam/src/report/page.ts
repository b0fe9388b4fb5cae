import type { LicenceNotice } from '../data/index.js';
import { markup, Markup, type Content } from './markup.js';
import { styleSheet } from './style.js';

/** Parts of a page. */
export interface Page {
  readonly title: string;
  readonly date: Date;
  /** Facts below the title. */
  readonly facts: Content;
  readonly main: Content;
  readonly footer: Content;
}

/** A self-contained HTML page: nothing is fetched. */
export function renderPage({ title, date, facts, main, footer }: Page): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(styleSheet)}</style>
</head>
<body>
<header class="top">
  <h1>${title}</h1>
  <p>${date.toLocaleString('en-GB', { dateStyle: 'long', timeStyle: 'short' })}</p>
  ${facts}
</header>
<main>
${main}
</main>
${footer}
</body>
</html>
`.text;
}

/** A named fact of a page's list; `wide` for long values. */
export function fact(name: string, value: string, look: '' | 'wide' = ''): Markup {
  return markup`<div class="${look}"><dt>${name}</dt><dd>${value}</dd></div>`;
}

/** Licences of the images on a page. */
export function licenceNotes(licences: readonly LicenceNotice[]): Content {
  if (licences.length === 0) return null;
  return markup`<footer>Images on this page:<ul>${licences.map(
    ({ part, attribution, licence }) => markup`<li>${part}: ${attribution} (${licence})</li>`,
  )}</ul></footer>`;
}
