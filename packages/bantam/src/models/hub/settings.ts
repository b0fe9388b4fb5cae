import { homedir } from 'node:os';
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';

/** Address of the Hub, unless `HF_ENDPOINT` names another. */
const HUB = 'https://huggingface.co';

/** An event of a download. */
export type PullEvent =
  | {
      readonly kind: 'progress';
      /** The file in the repository. */
      readonly file: string;
      /** Bytes of all files that are there, and that there will be. */
      readonly done: number;
      readonly total: number;
    }
  /** Another process fetches the same model. */
  | { readonly kind: 'wait'; readonly process: number }
  /** The server failed, or asked for patience; another attempt follows after `seconds`. */
  | { readonly kind: 'retry'; readonly reason: string; readonly seconds: number };

/** Options of everything that may fetch from the Hub; defaults are those of the environment. */
export interface HubOptions {
  /** Address of the Hub or of a mirror. Default: `HF_ENDPOINT`, else Hugging Face's. */
  readonly endpoint?: string;
  /** Default: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`. */
  readonly cacheDir?: string;
  /** Sent to the endpoint only. Default: `HF_TOKEN`. */
  readonly token?: string;
  /** Take only what is in the cache. Default: `BANTAM_OFFLINE` or `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Seconds without a byte after which a connection counts as dead. Default: `HF_HUB_DOWNLOAD_TIMEOUT`, else 30. */
  readonly timeout?: number;
  /** Attempts without a new byte before giving up. Default 5. */
  readonly attempts?: number;
  /** Seconds before the second attempt; each further one waits twice as long. Default 1. */
  readonly retryDelay?: number;
  /** Receives the events of downloads. */
  readonly onEvent?: (event: PullEvent) => void;
}

/** {@link HubOptions} with every default. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly token: string | null;
  readonly offline: boolean;
  readonly timeout: number;
  readonly attempts: number;
  readonly retryDelay: number;
  readonly onEvent: (event: PullEvent) => void;
}

type Environment = Readonly<Record<string, string | undefined>>;

function isOn(value: string | undefined): boolean {
  return ['1', 'on', 'yes', 'true'].includes((value ?? '').toLowerCase());
}

/** Folder in which huggingface_hub keeps what it fetches. */
function cacheDirectory(env: Environment): string {
  if (env.HF_HUB_CACHE) return env.HF_HUB_CACHE;
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return join(home, 'hub');
}

function checkedEndpoint(address: string): string {
  if (URL.canParse(address) && /^https?:/.test(address)) return address.replace(/\/+$/, '');
  throw new BantamError(
    `HF_ENDPOINT is ${JSON.stringify(address)}, which is no web address; set it to one such as ${HUB}, or not at all.`,
  );
}

/** The options, completed by the environment. */
export function hubSettings(options: HubOptions = {}, env: Environment = process.env): HubSettings {
  const timeout = Number(env.HF_HUB_DOWNLOAD_TIMEOUT);
  const token = options.token ?? env.HF_TOKEN?.trim() ?? '';
  return {
    endpoint: checkedEndpoint(
      options.endpoint ?? (env.HF_ENDPOINT === '' ? HUB : (env.HF_ENDPOINT ?? HUB)),
    ),
    cacheDir: options.cacheDir ?? cacheDirectory(env),
    token: token === '' ? null : token,
    offline: options.offline ?? (isOn(env.BANTAM_OFFLINE) || isOn(env.HF_HUB_OFFLINE)),
    timeout: options.timeout ?? (timeout > 0 ? timeout : 30),
    attempts: options.attempts ?? 5,
    retryDelay: options.retryDelay ?? 1,
    onEvent: options.onEvent ?? (() => undefined),
  };
}
