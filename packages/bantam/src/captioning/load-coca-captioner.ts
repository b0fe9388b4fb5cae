import type { CocaCaptioner, CocaCaptionerOptions } from './coca-captioner.js';

/**
 * A captioner of a CoCa model's directory. It loads libtorch, which the rest of the data layer does
 * without.
 *
 * @throws BantamError for a directory without a model, or with one that has no decoder.
 */
export async function loadCocaCaptioner(
  directory: string,
  options: CocaCaptionerOptions = {},
): Promise<CocaCaptioner> {
  const { CocaCaptioner } = await import('./coca-captioner.js');
  return CocaCaptioner.load(directory, options);
}
