import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { associationScores, cuePrompt, type Association } from '../metrics/associations.js';
import { textFeatures, type ClassifierOptions } from './classifier-cache.js';
import { datasetFacts, type DatasetContext } from './dataset-context.js';
import type { EvaluationResult } from './result.js';

const itemSchema = v.object({
  cue: v.string(),
  candidates: v.array(v.string()),
  associations: v.array(v.string()),
});

/**
 * WinoGAViL: a file with `{"cue", "candidates", "associations"}` in each line, candidates by the keys
 * of the data set's records, with or without their extension.
 */
export async function associate(
  context: DatasetContext,
  path: string,
  options: ClassifierOptions,
): Promise<EvaluationResult> {
  const { embeddings, loaded } = context;
  const rowOf = new Map<string, number>();
  embeddings.keys.forEach((key, row) => {
    rowOf.set(key, row);
    const [name = key] = key.split('/').slice(-1);
    rowOf.set(name, row).set(name.replace(/\.[^.]*$/, ''), row);
  });
  const items = await readItems(path, rowOf);
  const cues = items.map(({ cue }) => cuePrompt(cue));
  const text = await textFeatures(loaded, cues, options);
  const scores = associationScores({ items, text, image: embeddings.image });
  text.dispose();
  return {
    ...datasetFacts(context),
    task: 'associations',
    samples: items.length,
    ...scores,
  };
}

async function readItems(path: string, rowOf: ReadonlyMap<string, number>): Promise<Association[]> {
  const lines = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BantamError(
      `The associations "${path}" cannot be read (${causeOf(error)}); name an existing file of JSON lines.`,
    );
  });
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line, number) => {
      const where = `Line ${number + 1} of "${path}"`;
      const { cue, candidates, associations } = parseItem(line, where);
      const rows = (names: readonly string[]): number[] =>
        names.map((name) => {
          const row = rowOf.get(name);
          if (row !== undefined) return row;
          throw new BantamError(
            `${where} names the image "${name}", which the data lack or cannot read; give the images of this file.`,
          );
        });
      return { cue, candidates: rows(candidates), associations: rows(associations) };
    });
}

function parseItem(line: string, where: string): v.InferOutput<typeof itemSchema> {
  try {
    const result = v.safeParse(itemSchema, JSON.parse(line));
    if (result.success) return result.output;
  } catch {
    // Told below, with the other faults.
  }
  throw new BantamError(
    `${where} is no object with "cue", "candidates" and "associations"; write one in each line.`,
  );
}
