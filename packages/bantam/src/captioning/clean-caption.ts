/** More characters than this are no caption; ours. CLIP's context holds about 77 tokens. */
const longest = 1000;

/** How language models begin when they do not describe an image. */
const refusal =
  /^(?:i['’]?m sorry|i am sorry|sorry\b|i apologi[sz]e|as an ai\b|i (?:can['’]?t|cannot|am unable|['’]?m unable)\b)/i;

/** Words that models put before a caption: `Caption:`, `Here is a short caption for the image:`, `1.` */
const preambles: readonly RegExp[] = [
  /^(?:sure|certainly|of course)[,.!]\s*/i,
  /^here(?:['’]s| is| are)\b[^:.]{0,80}:\s*/i,
  /^(?:(?:a|the|one|short|brief|possible|image|image|photo)\s+){0,3}(?:caption|description|answer|alt text)\s*\d*\s*:\s*/i,
  /^(?:[-*•]|\d{1,2}[.)])\s+/,
];

const quotes: readonly (readonly [string, string])[] = [
  ['"', '"'],
  ["'", "'"],
  ['`', '`'],
  ['“', '”'],
  ['„', '“'],
  ['‘', '’'],
  ['«', '»'],
  ['*', '*'],
];

/** A caption, or why an answer is none. */
export type CleanedCaption = { readonly text: string } | { readonly reason: string };

/**
 * Makes a caption of what a language model answers: without its thoughts (`<think>…</think>`), chat
 * marks, preambles, quotes around all of it and repeated white space. An answer that is empty then,
 * has no letters, is longer than 1,000 characters or refuses is none.
 */
export function cleanCaption(answer: string): CleanedCaption {
  let text = answer
    .replace(/^[\s\S]*<\/think(?:ing)?>/i, '')
    .replace(/<think(?:ing)?>[\s\S]*$/i, '')
    .replace(/<\|?\/?[a-z_]+\|?>|```\w*/gi, ' ')
    .replaceAll('**', '')
    .replace(/\s+/g, ' ')
    .trim();
  if (text.length > 2 * longest) return tooLong(text);
  for (let before = ''; before !== text;) {
    before = text;
    for (const preamble of preambles) text = text.replace(preamble, '');
    for (const [open, close] of quotes) text = unquoted(text, open, close);
  }
  if (text === '') return { reason: answer.trim() === '' ? 'is empty' : 'holds no caption' };
  if (!/\p{L}/u.test(text)) return { reason: `has no letters: ${excerpt(text)}` };
  if (refusal.test(text)) return { reason: `refuses: ${excerpt(text)}` };
  return text.length > longest ? tooLong(text) : { text };
}

function tooLong(text: string): CleanedCaption {
  return { reason: `has ${text.length} characters, more than a caption: ${excerpt(text)}` };
}

/** The start of a text on one line, in quotes, for a message. */
export function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return `"${line.length > 100 ? `${line.slice(0, 100)}…` : line}"`;
}

/** A text without the quotes around it, where they enclose all of it. */
function unquoted(text: string, open: string, close: string): string {
  if (text.length <= open.length + close.length) return text;
  if (!text.startsWith(open) || !text.endsWith(close)) return text;
  const inner = text.slice(open.length, -close.length);
  return inner.includes(open) || inner.includes(close) ? text : inner.trim();
}
