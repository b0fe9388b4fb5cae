import { BantamError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';

/**
 * The 80 prompts of CLIP for ImageNet: Radford et al., "Learning transferable visual models from
 * natural language supervision" (2021), section 3.1.4; listed in OpenAI's CLIP repository,
 * `notebooks/Prompt_Engineering_for_ImageNet.ipynb`.
 */
export const imagenetTemplates: readonly string[] = [
  'a bad photo of a {}.',
  'a photo of many {}.',
  'a sculpture of a {}.',
  'a photo of the hard to see {}.',
  'a low resolution photo of the {}.',
  'a rendering of a {}.',
  'graffiti of a {}.',
  'a bad photo of the {}.',
  'a cropped photo of the {}.',
  'a tattoo of a {}.',
  'the embroidered {}.',
  'a photo of a hard to see {}.',
  'a bright photo of a {}.',
  'a photo of a clean {}.',
  'a photo of a dirty {}.',
  'a dark photo of the {}.',
  'a drawing of a {}.',
  'a photo of my {}.',
  'the plastic {}.',
  'a photo of the cool {}.',
  'a close-up photo of a {}.',
  'a black and white photo of the {}.',
  'a painting of the {}.',
  'a painting of a {}.',
  'a pixelated photo of the {}.',
  'a sculpture of the {}.',
  'a bright photo of the {}.',
  'a cropped photo of a {}.',
  'a plastic {}.',
  'a photo of the dirty {}.',
  'a jpeg corrupted photo of a {}.',
  'a blurry photo of the {}.',
  'a photo of the {}.',
  'a good photo of the {}.',
  'a rendering of the {}.',
  'a {} in a video game.',
  'a photo of one {}.',
  'a doodle of a {}.',
  'a close-up photo of the {}.',
  'a photo of a {}.',
  'the origami {}.',
  'the {} in a video game.',
  'a sketch of a {}.',
  'a doodle of the {}.',
  'a origami {}.',
  'a low resolution photo of a {}.',
  'the toy {}.',
  'a rendition of the {}.',
  'a photo of the clean {}.',
  'a photo of a large {}.',
  'a rendition of a {}.',
  'a photo of a nice {}.',
  'a photo of a weird {}.',
  'a blurry photo of a {}.',
  'a cartoon {}.',
  'art of a {}.',
  'a sketch of the {}.',
  'a embroidered {}.',
  'a pixelated photo of a {}.',
  'itap of the {}.',
  'a jpeg corrupted photo of the {}.',
  'a good photo of a {}.',
  'a plushie {}.',
  'a photo of the nice {}.',
  'a photo of the small {}.',
  'a photo of the weird {}.',
  'the cartoon {}.',
  'art of the {}.',
  'a drawing of the {}.',
  'a photo of the large {}.',
  'a black and white photo of a {}.',
  'the plushie {}.',
  'a dark photo of a {}.',
  'itap of a {}.',
  'graffiti of the {}.',
  'a toy {}.',
  'itap of my {}.',
  'a photo of a cool {}.',
  'a photo of a small {}.',
  'a tattoo of the {}.',
];

/** The seven of {@link imagenetTemplates} that do nearly as well as all 80 (same notebook). */
export const imagenetSimpleTemplates: readonly string[] = [
  'itap of a {}.',
  'a bad photo of the {}.',
  'a origami {}.',
  'a photo of the large {}.',
  'a {} in a video game.',
  'art of the {}.',
  'a photo of the small {}.',
];

/** The 18 prompts of CLIP for CIFAR-10 and CIFAR-100: `data/prompts.md` in its repository. */
export const cifarTemplates: readonly string[] = ['a', 'the'].flatMap((article) => [
  `a photo of ${article} {}.`,
  ...['blurry', 'black and white', 'low contrast', 'high contrast', 'bad', 'good'].map(
    (kind) => `a ${kind} photo of ${article} {}.`,
  ),
  `a photo of ${article} small {}.`,
  `a photo of ${article} big {}.`,
]);

/** Prompts that suit images of any kind. */
export const genericTemplates: readonly string[] = [
  '{}',
  'a photo of a {}.',
  'a picture of a {}.',
  'a drawing of a {}.',
];

/** The lists of prompts that go by a name. */
export const templateLists = {
  imagenet: imagenetTemplates,
  'imagenet-simple': imagenetSimpleTemplates,
  cifar: cifarTemplates,
  generic: genericTemplates,
  plain: ['{}'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type TemplateList = keyof typeof templateLists;

/** Puts a class name into a template's `{}`. */
export function fillTemplate(template: string, className: string): string {
  return template.replaceAll('{}', () => className);
}

/**
 * The prompts of a list's name, or the given prompts themselves. Names are those of
 * {@link templateLists} and of `more`.
 *
 * @throws BantamError for an unknown name, for no prompts, and for a prompt without `{}`.
 */
export function chooseTemplates(
  templates: string | readonly string[],
  more: Readonly<Record<string, readonly string[]>> = {},
): readonly string[] {
  if (typeof templates === 'string') {
    const lists = new Map<string, readonly string[]>(Object.entries({ ...more, ...templateLists }));
    const found = lists.get(templates);
    if (found !== undefined) return found;
    const names = [...Object.keys(templateLists), ...Object.keys(more)];
    throw new BantamError(
      `There are no prompt templates "${templates}"${didYouMean(templates, names)}; choose from ${names.join(', ')}, or name an existing file.`,
    );
  }
  const broken = templates.find((template) => !template.includes('{}'));
  if (broken !== undefined) {
    throw new BantamError(
      `The prompt template "${broken}" has no {}; mark the class name with it.`,
    );
  }
  if (templates.length === 0) throw new BantamError('Give at least one prompt template with {}.');
  return templates;
}
