import { BadRequest } from '../http/request-error.js';

/** Bounds on an image that a request holds. */
export interface ImageBounds {
  /** Most bytes of the file. */
  readonly imageBytes: number;
}

const refusal = { code: 'invalid_image' } as const;

/**
 * The bytes of a data URI (RFC 2397) with base64 of an image.
 *
 * @throws BadRequest for other URIs, for what is no base64, and for more bytes than allowed.
 */
export function readDataUri(uri: string, { imageBytes }: ImageBounds): Uint8Array<ArrayBuffer> {
  const comma = uri.indexOf(',');
  // A media type is short; what follows it may be megabytes.
  const head = comma < 0 || comma > 200 ? '' : uri.slice(0, comma);
  const match = /^data:([\w.+-]+\/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*);base64$/i.exec(head);
  if (match === null) {
    throw new BadRequest('The image is no data URI with base64: data:image/png;base64,…', refusal);
  }
  const [, type = ''] = match;
  if (!/^image\//i.test(type)) {
    throw new BadRequest(
      `The data URI is of the type "${type.slice(0, 60)}"; send an image, such as data:image/png;base64,…`,
      refusal,
    );
  }
  const escaped = uri.slice(comma + 1);
  const text = escaped.includes('%') ? unescaped(escaped) : escaped;
  if (text.length > (imageBytes / 3) * 4 + 4) {
    throw new BadRequest(`The image has more than ${imageBytes} bytes; shrink it.`, refusal);
  }
  const bytes = Buffer.from(text, 'base64');
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  // Buffer.from leaves out what is no base64.
  if (bytes.length === 0 || bytes.length !== Math.floor(((text.length - padding) * 3) / 4)) {
    throw new BadRequest('The data URI holds no valid base64.', refusal);
  }
  // Memory of its own, which can go to a thread.
  return new Uint8Array(bytes);
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BadRequest('The data URI has a broken escape with %.', refusal);
  }
}
