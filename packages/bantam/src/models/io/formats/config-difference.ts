import type { ModelConfig } from '../../config.js';

/** Members that change nothing of what a model with weights computes. */
const idle = [
  'patchDropout',
  'customText',
  'initLogitScale',
  'hfTokenizerName',
  'tokenizerKwargs',
  'padId',
  'attnPoolerQueries',
  'attnPoolerHeads',
];

/**
 * The first member by which a model computes something else than one that another configuration
 * describes, with its value: `"noLnPre" true of "vision"`. Formats refuse what they cannot say by it.
 */
export function configDifference(config: ModelConfig, read: ModelConfig): string | undefined {
  const { vision, text, ...top } = config;
  return (
    firstDifference(top, read) ??
    firstDifference(vision, read.vision, ' of "vision"') ??
    firstDifference(text, read.text, ' of "text"')
  );
}

function firstDifference(own: object, read: object, where = ''): string | undefined {
  const others = new Map<string, unknown>(Object.entries(read));
  // The id of the end matters to those alone who look for it.
  const unused = others.get('poolType') === 'eos' ? idle : [...idle, 'eosId'];
  for (const [key, value] of Object.entries(own) as [string, unknown][]) {
    if (unused.includes(key)) continue;
    const json = JSON.stringify(value);
    if (json !== JSON.stringify(others.get(key))) return `"${key}" ${json}${where}`;
  }
  return undefined;
}
