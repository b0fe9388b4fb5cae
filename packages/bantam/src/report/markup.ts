import { at } from '../base/at.js';

/** Markup that needs no escaping. */
export class Markup {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

/** Values in templates of {@link markup}: markup stays unchanged, anything else is escaped; null is empty. */
export type Content = Markup | string | number | null | readonly Content[];

const entities = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
]);

/** The text with all characters replaced that mean something in HTML, attributes included. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities.get(character) ?? character);
}

function markupOf(content: Content): string {
  if (content === null) return '';
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string' || typeof content === 'number')
    return escapeHtml(String(content));
  return content.map(markupOf).join('');
}

/**
 * HTML or SVG from a template; every value in it is escaped unless it is {@link Markup}. (The
 * formatter would change white space in templates of a tag named `html`.)
 */
export function markup(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(
    strings.map((text, i) => (i === 0 ? text : markupOf(at(values, i - 1)) + text)).join(''),
  );
}
