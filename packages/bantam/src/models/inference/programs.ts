import { Program, type Tensor } from '@bantam/torch';

/** Computations of a model that were recorded, by what they compute; null: none can be. */
type Programs = Map<string, Program | null>;

/** Of models that no longer change. */
const programsOf = new WeakMap<object, Programs>();

/** Samples up to which the calls of operators are a notable part of a computation. */
const fewSamples = 4;

/** Programs of a model at most: one for each number of samples and length of texts, for one. */
const mostPrograms = 128;

/** Lets {@link runRecorded} record a model's computations: its weights are not replaced from here on. */
export function recordPrograms(model: object): void {
  programsOf.set(model, new Map());
}

/** Frees what was recorded of a model. */
export function dropPrograms(model: object): void {
  for (const program of programsOf.get(model)?.values() ?? []) program?.dispose();
  programsOf.delete(model);
}

/**
 * `body(input)` without gradients, in one call of the addon where a model of {@link recordPrograms} has
 * computed the same for an input of that shape before.
 *
 * @param what - What is computed; bodies of the same name do the same for all inputs of one shape.
 */
export function runRecorded(
  model: object,
  { what, input }: { readonly what: string; readonly input: Tensor },
  body: (input: Tensor) => readonly Tensor[],
): readonly Tensor[] {
  const programs = programsOf.get(model);
  if (programs === undefined || input.dim(0) > fewSamples || input.device !== 'cpu') {
    return body(input);
  }
  const key = `${what} ${input.shape.join()}`;
  const known = programs.get(key);
  if (known) return known.run([input]);
  if (known === null || programs.size >= mostPrograms) return body(input);
  const { outputs, program } = Program.record([input], () => body(input));
  programs.set(key, program);
  return outputs;
}
