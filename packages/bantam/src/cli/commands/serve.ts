import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { BantamError } from '../../base/errors.js';
import type { ServeEvent, ServeSettings } from '../../serve/index.js';
import { entriesOf, type Entries } from '../../base/schema.js';
import { action, examples } from '../command.js';
import { stopOnInterrupt } from '../interrupt.js';
import { deviceOption, precisionOption, type InferenceFlags } from '../inference.js';
import { settingsTree } from '../named-settings.js';
import { listed, namedValues, portNumber } from '../values.js';

interface ServeFlags extends InferenceFlags {
  readonly index?: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly apiKeyFile?: string;
  readonly public?: true;
  readonly allowHost?: readonly string[];
  readonly allowOrigin?: readonly string[];
  readonly fetchFrom?: readonly string[];
  readonly log?: true;
  readonly set?: Readonly<Record<string, string>>;
}

/** `bantam serve` */
export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .description('serve models over HTTP: embeddings, classification, search')
    .argument('<model...>', 'model directories, each also as NAME=DIRECTORY')
    .option('--index <path>', 'index of bantam index, also as NAME=PATH (repeatable)', listed)
    .option('--host <address>', 'address to listen at', '127.0.0.1')
    .option('--port <n>', 'port to listen at; 0: any that is free', portNumber, 8000)
    .option('--api-key-file <file>', 'API keys, one in a line (default: BANTAM_API_KEY, else none)')
    .option('--public', 'listen at other addresses than loopback without an API key')
    .option('--allow-host <name>', 'name of this server beside localhost (repeatable)', listed)
    .option('--allow-origin <url>', 'origin whose web pages may call (repeatable)', listed)
    .option('--fetch-from <host>', 'host to fetch images from by URL (repeatable)', listed)
    .option('--log', 'write a JSON line for each request to standard error')
    .option('--set <name=value>', 'a setting such as limits.queue=100 (repeatable)', namedValues)
    .addOption(precisionOption())
    .addOption(deviceOption());
  examples(command, [
    'bantam serve quickstart/model',
    'bantam serve shop=runs/shop/model --index products --port 8080 --precision auto',
    'BANTAM_API_KEY=$(cat key) bantam serve runs/shop/model --host 0.0.0.0 --set batch.size=64',
  ]);
  action(command, async (flags: ServeFlags, directories: string[]) => {
    const { nameAll, serve, serveSchema } = await import('../../serve/index.js');
    const server = await serve({
      ...settingsTree(settable(entriesOf(serveSchema)), flags.set ?? {}),
      ...(await ownSettings(flags)),
      models: nameAll(directories, 'models'),
      indexes: nameAll(flags.index ?? [], 'indexes'),
      onEvent: (event) => {
        process.stderr.write(`${describe(event)}\n`);
      },
    });
    process.stderr.write(`Listening at ${server.url}; Ctrl-C stops, SIGHUP reloads the models.\n`);
    process.on('SIGHUP', () => {
      // The event has said why.
      server.reload().catch(() => undefined);
    });
    const signal = stopOnInterrupt('answering the requests that have come');
    await once(signal, 'abort');
    await server.stop();
    return { text: 'Stopped.', json: { url: server.url } };
  });
}

/** The settings that have no options of their own. */
function settable({ batch, limits, threads, decoders }: Entries): Entries {
  return { batch, limits, threads, decoders } as Entries;
}

/** The settings that options of their own name. */
async function ownSettings(flags: ServeFlags): Promise<ServeSettings> {
  const { host, port, precision, device, allowHost, allowOrigin, fetchFrom, log } = flags;
  return {
    host,
    port,
    precision,
    ...(device !== undefined && { device }),
    apiKeys: await readKeys(flags.apiKeyFile),
    ...(flags.public === true && { public: true }),
    ...(allowHost !== undefined && { hosts: allowHost }),
    ...(allowOrigin !== undefined && { cors: allowOrigin }),
    ...(fetchFrom !== undefined && { fetchHosts: fetchFrom }),
    ...(log === true && { log: true }),
  };
}

async function readKeys(file: string | undefined): Promise<string[]> {
  if (file === undefined) {
    const { BANTAM_API_KEY: key } = process.env;
    return key === undefined || key === '' ? [] : [key];
  }
  const lines = (await readFile(file, 'utf8')).split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '');
  if (keys.length > 0) return keys;
  throw new BantamError(`${file} holds no API key; write one in a line.`);
}

function describe(event: ServeEvent): string {
  switch (event.kind) {
    case 'restart':
      return `The model ${event.model} is started anew: ${event.reason}`;
    case 'reloaded':
      return `Reloaded: ${event.models.join(', ')}`;
    case 'reload-failed':
      return `The models stay as they were: ${event.reason}`;
    case 'fault':
      return `Unexpected: ${event.error.stack ?? event.error.message}`;
    case 'stopping':
      if (event.requests === 0) return 'Stopping.';
      return `Stopping; requests that are answered first: ${event.requests}`;
  }
}
