#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { servePage } from '../dist/serve.js';

const usage = 'usage: bantam-web FOLDER [--port NUMBER] [--host ADDRESS]';

/** @param {string} message @param {number} status */
function stop(message, status) {
  console.error(`error: ${message}`);
  process.exit(status);
}

/** The command line's arguments. */
function parse() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        port: { type: 'string', default: '8080' },
        host: { type: 'string', default: '127.0.0.1' },
        help: { type: 'boolean', default: false },
      },
    });
    const [folder, ...rest] = positionals;
    const port = Number(values.port);
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    if (folder === undefined || rest.length > 0) return stop(`Name one folder; ${usage}.`, 2);
    if (!(Number.isInteger(port) && port >= 0 && port < 65_536)) {
      return stop(`--port is ${values.port}; it must be a number from 0 to 65535.`, 2);
    }
    return { folder, port, host: values.host };
  } catch (error) {
    return stop(`${error.message}; ${usage}.`, 2);
  }
}

const { folder, ...options } = parse();
try {
  const { url } = await servePage(folder, options);
  console.log(`Serving ${folder} at ${url} (Ctrl-C ends it).`);
} catch (error) {
  const { code, message } = error;
  stop(
    code === 'EADDRINUSE' ? `Port ${options.port} is taken; choose another with --port.` : message,
    1,
  );
}
