import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import type { Hits } from '../tasks/dataset-context.js';

const text = v.string();
const hitsSchema = v.object({
  dataset: text,
  task: text,
  metric: text,
  labels: v.exactOptional(text),
  keys: v.array(text),
  hits: v.pipe(
    v.string(),
    v.regex(/^[01]*$/),
    v.transform((bits) => Uint8Array.from(bits, Number)),
  ),
  queries: v.exactOptional(v.array(text)),
  answers: v.array(text),
  truths: v.array(text),
});
const fileSchema = v.object({
  format: v.literal('bantam-answers-1'),
  model: text,
  answers: v.array(hitsSchema),
});

/** The answers of a model, as `bantam eval --answers` keeps them. */
export interface AnswersFile {
  /** The model directory. */
  readonly model: string;
  readonly answers: readonly Hits[];
}

/** Writes a model's right and wrong answers, item by item, to be compared later. */
export function writeAnswers(path: string, { model, answers }: AnswersFile): void {
  const document = {
    format: 'bantam-answers-1',
    model,
    answers: answers.map((one) => ({ ...one, hits: one.hits.join('') })),
  };
  writeFileAtomic(path, [Buffer.from(`${JSON.stringify(document)}\n`)]);
}

/**
 * Reads a file of {@link writeAnswers}.
 *
 * @throws BantamError if it is not one.
 */
export async function readAnswers(path: string): Promise<AnswersFile> {
  const written = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BantamError(
      `The answers "${path}" cannot be read (${causeOf(error)}); name an existing file.`,
    );
  });
  try {
    const result = v.safeParse(fileSchema, JSON.parse(written));
    if (result.success) return result.output;
  } catch {
    // Told below, with the other faults.
  }
  throw new BantamError(
    `"${path}" holds no answers of a model; write them with "bantam eval --answers ${path}".`,
  );
}
