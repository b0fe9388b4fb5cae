import type { IncomingMessage } from 'node:http';
import { BadRequest, RequestError } from './request-error.js';

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * The JSON value in the body of a request, of which no more than `most` bytes are read.
 *
 * @throws RequestError for another type or coding, for too many bytes, and for what is no UTF-8 or no
 * JSON.
 */
export async function readJsonBody(incoming: IncomingMessage, most: number): Promise<unknown> {
  const { headers } = incoming;
  const type = headers['content-type'];
  if (type === undefined || !/^application\/json\s*(;|$)/i.test(type)) {
    throw new RequestError(415, 'The body must be of the type application/json.', {
      code: 'unsupported_media_type',
    });
  }
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding !== 'identity') {
    throw new RequestError(415, 'Send the body without Content-Encoding.', {
      code: 'unsupported_encoding',
    });
  }
  return parseJson(await readBounded(incoming, most));
}

async function readBounded(incoming: IncomingMessage, most: number): Promise<Buffer> {
  const tooLarge = (): RequestError =>
    new RequestError(413, `The body has more than ${most} bytes; send less at a time.`, {
      code: 'body_too_large',
    });
  if (Number(incoming.headers['content-length']) > most) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > most) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseJson(body: Buffer): unknown {
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    throw new BadRequest('The body is no UTF-8.', { code: 'invalid_json' });
  }
  if (text.trim() === '') {
    throw new BadRequest('The body is empty; send JSON.', { code: 'invalid_json' });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new BadRequest('The body is no JSON.', { code: 'invalid_json' });
  }
}
