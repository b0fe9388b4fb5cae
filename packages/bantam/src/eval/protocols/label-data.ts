import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { chooseTemplates } from './templates.js';

/** Reads a file of the package's folder `data`, which `fixtures/generate_label_data.py` writes. */
function readData<const S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> {
  const path = fileURLToPath(new URL(`../../../data/${name}`, import.meta.url));
  return v.parse(schema, JSON.parse(readFileSync(path, 'utf8')));
}

const names = v.array(v.string());
const numbers = v.array(v.number());

/** Classes of ImageNet-1k by number, as `n01440764 tench`, and the numbers of subsets. */
export function readImageNet() {
  return readData(
    'imagenet.json',
    v.object({
      classes: names,
      subsets: v.object({ 'imagenet-a': numbers, 'imagenet-r': numbers }),
    }),
  );
}

/** Prompt templates of CLIP_benchmark's data sets, by their names. */
export function readPromptLists(): Readonly<Record<string, readonly string[]>> {
  return readData('prompts.json', v.object({ lists: v.record(v.string(), names) })).lists;
}

/**
 * {@link chooseTemplates} from Bantam's own lists and those of CLIP_benchmark's data sets, such as `dtd`.
 *
 * @throws BantamError for an unknown name, for no prompts, and for a prompt without `{}`.
 */
export function resolveTemplates(templates: string | readonly string[]): readonly string[] {
  return chooseTemplates(templates, readPromptLists());
}
