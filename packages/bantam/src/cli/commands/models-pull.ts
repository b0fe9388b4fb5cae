import type { Command } from 'commander';
import type { ModelLocation } from '../../models/index.js';
import { action, examples } from '../command.js';
import { pullModel } from '../model-names.js';
import { formatTable } from '../output.js';
import { Progress } from '../progress.js';

/** `bantam models pull` */
export function addPull(models: Command): void {
  const command = models
    .command('pull')
    .description(
      'fetch a published model into the cache, or what is new of it; of an adapter its base model too',
    )
    .argument('<name>', 'hf:owner/name[@revision], or MODEL/TAG of "models list --pretrained"')
    .addHelpText(
      'after',
      `
Once pulled, a model works offline under its name wherever a model is named. The cache is that of
huggingface_hub. Environment: HF_HUB_CACHE or HF_HOME (the cache), HF_ENDPOINT (a mirror),
HF_TOKEN (private and gated models), BANTAM_OFFLINE=1 or HF_HUB_OFFLINE=1 (no network).`,
    );
  examples(command, [
    'bantam models pull hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K',
    'bantam models pull ViT-B-32/laion2b_s34b_b79k',
  ]);
  action(command, async (_flags: object, name: string) => {
    const { UsageError } = await import('../../base/errors.js');
    const [first, ...bases] = await pullModel(name, new Progress(), { refresh: true });
    const pulled = first?.pulled ?? null;
    if (pulled === null) {
      throw new UsageError(
        `${name} is on this machine already; models to pull are named hf:owner/name or MODEL/TAG.`,
      );
    }
    const models = [{ name, pulled }, ...bases].flatMap(namedPull);
    const [own, ...others] = models;
    return { text: models.map(describePull).join('\n'), json: { ...own, bases: others } };
  });
}

/** A model of the Hub with what was fetched of it. */
type NamedPull = { readonly name: string } & Pick<
  NonNullable<ModelLocation['pulled']>,
  'directory' | 'weights' | 'commit' | 'fetched'
>;

function namedPull({ name, pulled }: Pick<ModelLocation, 'name' | 'pulled'>): NamedPull[] {
  if (pulled === null) return [];
  const { directory, weights, commit, fetched } = pulled;
  return [{ name, directory, weights, commit, fetched }];
}

function describePull({ name, directory, commit, fetched }: NamedPull): string {
  const state = fetched.length === 0 ? 'is up to date' : `fetched ${fetched.join(', ')}`;
  return `${name} (commit ${commit.slice(0, 12)}) ${state}: ${directory}`;
}

/** `bantam models list --pretrained` */
export async function listPretrained(words: readonly string[]) {
  const { presets, pretrainedModels } = await import('../../models/index.js');
  const { UsageError } = await import('../../base/errors.js');
  const nameOf = ({ model, tag }: { model: string; tag: string }) => `${model}/${tag}`;
  const lower = words.map((word) => word.toLowerCase());
  const found = pretrainedModels().filter((entry) => {
    const text = `${nameOf(entry)} ${entry.repository}`.toLowerCase();
    return lower.length === 0 || lower.some((word) => text.includes(word));
  });
  if (found.length === 0) {
    throw new UsageError(
      `No published weights have ${words.map((word) => `"${word}"`).join(' or ')} in their names; "bantam models list --pretrained" lists all ${pretrainedModels().length}.`,
    );
  }
  const rows = found.map((entry) => [
    nameOf(entry),
    `hf:${entry.repository}`,
    entry.quickGelu ? 'QuickGELU' : 'GELU',
    presets.has(entry.model) ? 'yes' : 'no',
  ]);
  return {
    text: `${formatTable([['name', 'repository', 'activation', 'preset'], ...rows])}\n\nPublished weights that OpenCLIP 3.3.0 lists; "bantam models pull NAME" fetches them.`,
    json: found.map((entry) => ({
      name: nameOf(entry),
      ...entry,
      preset: presets.has(entry.model),
    })),
  };
}
