import { connect } from 'node:net';
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Sends a request and reads its answer as JSON. */
export async function send(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: JSON.parse(text) as unknown };
}

/** Sends JSON, or a text unchanged. */
export function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return send(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/**
 * Sends bytes to the port of a URL, one chunk after the other with a pause between, and gives what came
 * back until the server closed the connection.
 */
export function sendRaw(
  url: string,
  chunks: readonly (string | Buffer)[],
  pauseMs = 0,
): Promise<string> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(Number(port), hostname);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => (received += text));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
      resolve(received);
    });
    const left = [...chunks];
    const next = (): void => {
      const chunk = left.shift();
      if (chunk !== undefined) socket.write(chunk);
    };
    next();
    const timer = setInterval(next, pauseMs);
    // A server that says nothing fails the test that waits for its answer.
    socket.setTimeout(10_000, () => socket.destroy());
  });
}

export function dataUri(bytes: Uint8Array, type = 'image/png'): string {
  return `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;
}

/** A PNG file of one colour. */
export function plainPng(colour: string, width = 20, height = 16): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: colour } })
    .png()
    .toBuffer();
}

/** A PNG file with other sides in its header. */
export function claiming(png: Buffer, width: number, height: number): Buffer {
  const claim = Buffer.from(png);
  claim.writeUInt32BE(width, 16);
  claim.writeUInt32BE(height, 20);
  claim.writeUInt32BE(crc32(claim.subarray(12, 29)), 29);
  return claim;
}

/** A photograph, as a JPEG file. */
export function photograph(): Buffer {
  return readFileSync(new URL('../fixtures/data/coffee.jpg', import.meta.url));
}
