#!/usr/bin/env node
/** `npm create bantam FOLDER`: copies the template into a new folder and says what comes next. */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const [folder, ...others] = process.argv.slice(2);

/** @param {string} message */
function fail(message) {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}

if (folder === undefined || folder.startsWith('-') || others.length > 0) {
  fail('Name one folder for the project: npm create bantam my-shop');
}
const target = resolve(String(folder));
if (existsSync(target) && readdirSync(target).length > 0) {
  fail(`${folder} holds files already; name a folder that does not exist yet.`);
}
cpSync(fileURLToPath(new URL('../template', import.meta.url)), target, { recursive: true });
// npm leaves a file of the name .gitignore out of packages.
renameSync(join(target, 'gitignore'), join(target, '.gitignore'));
const manifest = join(target, 'package.json');
const name = basename(target)
  .toLowerCase()
  .replaceAll(/[^\w.-]+/g, '-')
  .replace(/^[._-]+/, '');
const written = {
  name: name === '' ? 'shop' : name,
  ...JSON.parse(readFileSync(manifest, 'utf8')),
};
writeFileSync(manifest, `${JSON.stringify(written, null, 2)}\n`);
process.stdout.write(`A shop search is in ${folder}. Next:

  cd ${/^[\w./-]+$/.test(folder) ? folder : JSON.stringify(folder)}
  npm install
  # put products.csv (columns image and title) and the images there
  npm run train     # eight minutes on the CPU
  npm start         # the shop, in the browser

README.md has the rest.
`);
