import { hashModelFiles } from '../features/fingerprint.js';
import {
  loadForInference,
  type InferenceModel,
  type LoadForInferenceOptions,
} from '../load-for-inference.js';
import type { Helpers } from './helpers.js';

/** Options of {@link loadTogether}. */
export interface LoadTogetherOptions extends Pick<LoadForInferenceOptions, 'precision' | 'device'> {
  /** The processes that load it as well; none by default. */
  readonly helpers?: Helpers | undefined;
}

/**
 * {@link loadForInference} in this process and its helpers.
 *
 * @throws BantamError as it, and if the processes find different files by that name.
 */
export async function loadTogether(
  name: string,
  { helpers, ...options }: LoadTogetherOptions,
): Promise<InferenceModel> {
  await helpers?.give({ kind: 'load', name, ...options });
  const model = await loadForInference(name, options);
  await helpers?.requireEqual(`model ${name}`, await hashModelFiles(name));
  return model;
}
