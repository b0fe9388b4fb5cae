import { BantamError } from '../../base/errors.js';
import type { Draws } from '../counter-rng.js';
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

/** {@link CaptionRecipe.synthetic} where a recipe does not say it. */
export const syntheticShare = 0.5;

/**
 * Draws a training caption: one of the synthetic ones with the recipe's chance, all equally likely,
 * where the record has any. Else a form of the recipe by weight, then the fields of its template. A
 * field that the record lacks, or has no members of, leaves nothing behind, and neither do the
 * comma and the spaces around it.
 */
export function drawCaption(record: DataRecord, recipe: CaptionRecipe, draws: Draws): string {
  const { synthetic = [] } = record;
  // Records without synthetic captions draw nothing for them: their streams are as they were.
  if (synthetic.length > 0 && draws.chance(recipe.synthetic ?? syntheticShare)) {
    return synthetic[draws.integer(synthetic.length)]?.text ?? '';
  }
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

/**
 * Throws unless the recipe has a form, each a positive weight and a template with a field, and its
 * share of synthetic captions is one.
 */
export function checkRecipe(recipe: CaptionRecipe): void {
  const { synthetic = syntheticShare } = recipe;
  if (!(synthetic >= 0 && synthetic <= 1)) {
    throw new BantamError(
      `The share of synthetic captions is ${synthetic}; it must be from 0 to 1.`,
    );
  }
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
