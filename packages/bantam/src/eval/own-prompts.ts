import { at } from '../base/at.js';
import { didYouMean } from '../base/did-you-mean.js';
import { BantamError } from '../base/errors.js';
import type { LabelSet, Prompts } from '../data/index.js';
import { resolveTemplates } from './protocols/label-data.js';
import { fillTemplate } from './protocols/templates.js';

/** Class names that are written in different ways are compared without case and separators. */
function plainName(name: string): string {
  return name
    .normalize('NFC')
    .toLowerCase()
    .replaceAll(/[_\-\s]+/g, ' ')
    .trim();
}

/**
 * A classification with a list of classes in place of the data's own. Data whose classes are numbers
 * count in the list; else the classes that are called alike are the same, and the list may hold more;
 * if none is called alike and there are as many, they are the same in order.
 *
 * @throws BantamError if the list fits the data in none of these ways.
 */
export function withClasses(labelSet: LabelSet, classes: readonly string[]): LabelSet {
  const { classes: own, labels, templates, several } = labelSet;
  const ids = new Map(classes.map((name, id) => [plainName(name), id] as const).reverse());
  const areNumbers = own.every((name) => /^\d+$/.test(name));
  let map = own.map((name) => (areNumbers ? Number(name) : ids.get(plainName(name))));
  const isKnown = map.some((id) => id !== undefined && id < classes.length);
  if (!isKnown && own.length === classes.length) map = own.map((_, id) => id);
  const missing = own.filter((_, id) => !((map[id] ?? classes.length) < classes.length));
  if (missing.length > 0) {
    const some = missing.slice(0, 5).map((name) => `"${name}"${didYouMean(name, classes)}`);
    throw new BantamError(
      `${missing.length} of the ${own.length} classes of the data are not in the list of ${classes.length} classes: ${some.join(', ')}${missing.length > some.length ? ', …' : ''}; add them, or give as many names as the data have classes, in the order of theirs.`,
    );
  }
  return {
    classes,
    templates,
    labels: labels.map((label) => (label < 0 ? -1 : (at(map, label) ?? -1))),
    ...(several && { several: several.map((ids) => ids.map((id) => at(map, id) ?? -1)) }),
  };
}

/**
 * The prompts of each class, from templates with `{}`, the name of a list, or prompts by class name.
 *
 * @throws BantamError naming classes without prompts.
 */
export function classPrompts(
  classes: readonly string[],
  prompts: string | Prompts,
): readonly (readonly string[])[] {
  if (typeof prompts === 'string' || !(prompts instanceof Map)) {
    const templates = resolveTemplates(prompts as string | readonly string[]);
    return classes.map((name) => templates.map((template) => fillTemplate(template, name)));
  }
  const byName = new Map<string, readonly string[]>();
  for (const [name, texts] of prompts as ReadonlyMap<string, readonly string[]>) {
    byName.set(plainName(name), texts);
  }
  const missing = classes.filter((name) => !byName.has(plainName(name)));
  if (missing.length > 0) {
    const [first = ''] = missing;
    throw new BantamError(
      `${missing.length} of ${classes.length} classes have no prompts, such as "${first}"${didYouMean(first, [...(prompts as ReadonlyMap<string, unknown>).keys()])}; add them to the file.`,
    );
  }
  return classes.map((name) =>
    (byName.get(plainName(name)) ?? []).map((prompt) => fillTemplate(prompt, name)),
  );
}
