import { BantamError } from '../errors.js';
import type { Draws } from './random.js';
import type { CaptionRecipe, DataRecord } from './source.js';

/** What columns and fields with captions are usually called. */
export const usualCaptionNames = ['caption', 'captions', 'title', 'text', 'description'] as const;

/** Members of a comma-separated metadata field. */
export function members(field: string | undefined): string[] {
  return (field ?? '')
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
}

/**
 * Draws a training caption: a form of the recipe by weight, then the fields of its template. A
 * field that the record lacks, or has no members of, leaves nothing behind, and neither do the
 * comma and the spaces around it.
 */
export function drawCaption(record: DataRecord, recipe: CaptionRecipe, draws: Draws): string {
  const forms = recipe.forms;
  const form = forms[forms.length === 1 ? 0 : draws.weighted(forms.map(({ weight }) => weight))];
  const filled = (form?.template ?? '').replaceAll(/\{(\w+)(?::(\d+))?\}/g, (_, name, most) =>
    field(record, String(name), most === undefined ? undefined : Number(most), draws),
  );
  const caption = filled
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/( ?,)+ ?(?=,|$)|^[ ,]+/g, '')
    .trim();
  return caption === '' ? (record.captions[0] ?? '') : caption;
}

/** Throws unless the recipe has a form, and each a positive weight and a template with a field. */
export function checkRecipe(recipe: CaptionRecipe): void {
  if (recipe.forms.length === 0) throw new BantamError('A caption recipe needs at least one form.');
  for (const { weight, template } of recipe.forms) {
    if (!(weight > 0) || !/\{\w+(:\d+)?\}/.test(template)) {
      throw new BantamError(
        `Caption form "${template}" with weight ${weight} needs a weight above 0 and a field such as {caption}.`,
      );
    }
  }
}

function field(record: DataRecord, name: string, most: number | undefined, draws: Draws): string {
  if (name === 'caption') return record.captions[draws.integer(record.captions.length)] ?? '';
  const value = name === 'label' ? record.label : record.meta[name];
  if (most === undefined) return value ?? '';
  const words = members(value);
  const count = Math.min(words.length, 1 + draws.integer(most));
  return draws.shuffle(words, count).slice(0, count).join(', ');
}
