/** Markup that is safe to put into a page as it is. */
export class Markup {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

/** What a template of {@link markup} takes: markup as it is, anything else escaped; null is nothing. */
export type Content = Markup | string | number | null | readonly Content[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** The text with all characters replaced that mean something in HTML, attributes included. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}

function markupOf(content: Content): string {
  if (content === null) return '';
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string' || typeof content === 'number')
    return escapeHtml(String(content));
  return content.map(markupOf).join('');
}

/**
 * HTML or SVG from a template; every value in it is escaped unless it is {@link Markup}. (A tag of
 * the name `html` would have the formatter move white space, which means something in a page.)
 */
export function markup(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(
    strings.map((text, at) => (at === 0 ? text : markupOf(values[at - 1] ?? null) + text)).join(''),
  );
}
