import { createRequire } from 'node:module';
import type tagger from 'compromise/two';

/** What a word is, as far as the syntax reduction of texts asks. */
export type WordClass = 'noun' | 'adjective' | 'verb' | 'other';

/** A word of a text, without the punctuation around it. */
export interface ClassifiedWord {
  readonly text: string;
  readonly class: WordClass;
}

type Tagger = typeof tagger;

let loaded: Tagger | undefined;

/** Loads the tagger when it is first needed: it takes about a tenth of a second. */
function loadTagger(): Tagger {
  loaded ??= createRequire(import.meta.url)('compromise/two') as Tagger;
  return loaded;
}

/**
 * The words of an English text with their classes, by the library compromise. Pronouns, numerals,
 * modal verbs, adverbs and particles are `other`, as their Penn Treebank tags are outside NN, JJ and VB.
 */
export function classifyWords(text: string): ClassifiedWord[] {
  const words = loadTagger()(text).termList();
  return words
    .filter((word) => word.text !== '')
    .map((word) => ({ text: word.text, class: classOf(word.tags ?? new Set()) }));
}

function classOf(tags: ReadonlySet<string>): WordClass {
  // A possessive that is neither singular nor plural is a pronoun: `my`.
  const pronoun =
    tags.has('Pronoun') || (tags.has('Possessive') && !tags.has('Singular') && !tags.has('Plural'));
  if (tags.has('Noun') && !pronoun) return 'noun';
  if (tags.has('Adjective')) return 'adjective';
  if (tags.has('Verb') && !tags.has('Modal') && !tags.has('Particle')) return 'verb';
  return 'other';
}
