/**
 * The tables of settings in docs/settings.md, made from their declarations.
 *
 *     node scripts/settings-tables.js --write   writes the page (after npm run compile)
 *     node scripts/settings-tables.js           checks that it is up to date
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { root } from './source-files.js';

const page = join(root, 'docs', 'settings.md');

const titles = new Map([
  ['train', 'Training'],
  ['tokenizer', 'Tokenizer'],
  ['validation', 'Validation'],
  ['init', 'Initial weights'],
  ['preprocess', 'Preprocessing'],
  ['loss', 'Contrastive losses'],
  ['strategy', 'Strategies'],
]);

const introduction = `# Settings

All settings of a run, made by \`npm run docs:settings\` from their declarations. The library takes them as typed objects, the command line as \`--set NAME=VALUE\`:

\`\`\`ts
await train({ model, data, out, budget, train: { lr: 6e-4 }, strategy: { type: 'flip', maskRatio: 0.5 } });
\`\`\`

\`\`\`sh
bantam train … --strategy flip --set strategy.maskRatio=0.5 --set train.lr=6e-4
\`\`\`

\`model.*\` changes any part of the model's configuration, such as \`model.vision.layers\` ([models.md](models.md)). \`augment\` is a named augmentation or a list of operations as JSON ([data.md](data.md)). A column "of" names the losses or strategies that have the setting.
`;

/** The page as it should be. */
async function settingsPage() {
  const { settingsTables } = await import('bantam/experimental');
  const sections = [...settingsTables()].map(
    ([name, table]) => `## ${titles.get(name) ?? name}\n\n${table}\n`,
  );
  const options = await resolveConfig(page);
  return format([introduction, ...sections].join('\n'), { ...options, filepath: page });
}

const wanted = await settingsPage();
if (process.argv.includes('--write')) writeFileSync(page, wanted);
else if (!existsSync(page) || readFileSync(page, 'utf8') !== wanted) {
  console.error('docs/settings.md differs from the declarations; run "npm run docs:settings".');
  process.exitCode = 1;
}
