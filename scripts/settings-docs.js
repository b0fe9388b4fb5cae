/**
 * `npm run docs:settings`: writes what the schemas of the settings say into the docs, between
 * `<!-- settings:NAME -->` and `<!-- end -->`, and into `packages/bantam/schema/`.
 *
 *     node scripts/settings-docs.js          writes
 *     node scripts/settings-docs.js --check  only compares; exit status 1 names the files to write
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { entriesOf, group } from '../packages/bantam/dist/base/schema.js';
import { batchSchema, limitsSchema, serveSchema } from '../packages/bantam/dist/serve/index.js';
import { studyJsonSchema } from '../packages/bantam/dist/study/index.js';
import {
  configJsonSchema,
  settingsTable,
  settingsTables,
} from '../packages/bantam/dist/train/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const schemaFile = (name) => join(root, `packages/bantam/schema/${name}.schema.json`);
const plain = Object.fromEntries(
  Object.entries(entriesOf(serveSchema)).filter(([name]) => !['batch', 'limits'].includes(name)),
);
const tables = new Map([
  ...settingsTables(),
  ['serve', settingsTable(group(plain))],
  ['serveBatch', settingsTable(batchSchema, 'batch.')],
  ['serveLimits', settingsTable(limitsSchema, 'limits.')],
]);

/** A file of the docs with the tables of the settings in place of those that it has. */
function withTables(text, path) {
  return text.replace(/(<!-- settings:(\w+) -->\n)[^]*?(<!-- end -->)/g, (_, start, name, end) => {
    const table = tables.get(name);
    if (table === undefined) {
      const known = [...tables.keys()].join(', ');
      throw new Error(`${path} asks for the settings "${name}"; there are ${known}.`);
    }
    return `${start}\n${table}\n\n${end}`;
  });
}

const schemas = { train: configJsonSchema(), study: studyJsonSchema() };
const options = await resolveConfig(schemaFile('train'));
const wanted = new Map();
for (const [name, schema] of Object.entries(schemas)) {
  wanted.set(
    schemaFile(name),
    await format(JSON.stringify(schema), { ...options, parser: 'json' }),
  );
}
for (const name of readdirSync(join(root, 'docs')).filter((file) => file.endsWith('.md'))) {
  const path = join(root, 'docs', name);
  const text = readFileSync(path, 'utf8');
  const written = withTables(text, path);
  if (/<!-- settings:/.test(text)) {
    wanted.set(path, await format(written, { ...options, parser: 'markdown' }));
  }
}

const stale = [...wanted].filter(([path, text]) => {
  try {
    return readFileSync(path, 'utf8') !== text;
  } catch {
    return true;
  }
});
if (process.argv.includes('--check')) {
  for (const [path] of stale) {
    console.error(
      `${relative(root, path)} is not what the schemas say; run npm run docs:settings.`,
    );
    process.exitCode = 1;
  }
} else {
  for (const [path, text] of stale) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(relative(root, path));
  }
}
