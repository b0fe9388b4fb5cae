/**
 * Loaded before everything else (`node --require`): where an addon of @bantam/torch is loaded, the one of
 * the folder SANITIZED_ADDONS takes its place. So the program has no switch for it.
 */
'use strict';
const process = require('node:process');
const { existsSync } = require('node:fs');
const { basename, join } = require('node:path');

const folder = process.env.SANITIZED_ADDONS;
const load = process.dlopen;
process.dlopen = (module, file, ...rest) => {
  const own = folder === undefined ? '' : join(folder, basename(file));
  return load.call(process, module, existsSync(own) ? own : file, ...rest);
};
