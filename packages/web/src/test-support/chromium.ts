import { spawnSync } from 'node:child_process';
import { chromium, type Browser, type Page } from 'playwright-core';

/** Names of Chromium in the path, in Debian's packages and elsewhere. */
const names = ['chromium', 'chromium-headless-shell', 'chromium-browser', 'google-chrome'];

/** The browser to test in: `BANTAM_CHROMIUM`, else the first that is installed. */
export function findChromium(): string | undefined {
  const { BANTAM_CHROMIUM: given } = process.env;
  if (given !== undefined && given !== '') return given;
  return names
    .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout.trim())
    .find((path) => path !== '');
}

/** Reason for skipping tests that need a browser; false where there is one. */
export const withoutChromium: string | false =
  findChromium() === undefined &&
  'there is no Chromium: install one (apt-get install chromium), or name it with BANTAM_CHROMIUM';

/** Starts the browser without a window. */
export function openChromium(args: readonly string[] = []): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error(String(withoutChromium));
  // Root, as in containers, has no sandbox.
  return chromium.launch({ executablePath, args: ['--no-sandbox', ...args] });
}

/** A page, with what went wrong on it and what it asked of other hosts. */
export interface WatchedPage {
  readonly page: Page;
  /** Errors of scripts, and what the console reports as errors. */
  readonly errors: string[];
  /** Requests to any host but the page's own; they are refused. */
  readonly foreign: string[];
}

/** Opens a page that can reach its own host only. */
export async function openPage(browser: Browser, url: string): Promise<WatchedPage> {
  const context = await browser.newContext();
  const errors: string[] = [];
  const foreign: string[] = [];
  const { host } = new URL(url);
  await context.route('**/*', (route) => {
    const asked = new URL(route.request().url());
    if (['blob:', 'data:'].includes(asked.protocol) || asked.host === host) return route.continue();
    foreign.push(asked.href);
    return route.abort();
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  return { page, errors, foreign };
}

/** Drops a file on the page, as a user does with the mouse. */
export async function dropFile(
  page: Page,
  { name, bytes, type }: { name: string; bytes: Uint8Array; type: string },
): Promise<void> {
  const transfer = await page.evaluateHandle(
    ({ base64, name, type }) => {
      const bytes = Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type }));
      return transfer;
    },
    { base64: Buffer.from(bytes).toString('base64'), name, type },
  );
  for (const event of ['dragenter', 'dragover', 'drop']) {
    await page.dispatchEvent('body', event, { dataTransfer: transfer });
  }
}
