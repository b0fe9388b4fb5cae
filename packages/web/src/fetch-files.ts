import { BantamError } from 'bantam/portable';

/** Bytes of a file that have arrived. */
export interface DownloadProgress {
  readonly file: string;
  readonly received: number;
  /** Undefined where the server does not say. */
  readonly total: number | undefined;
}

export type OnDownload = (progress: DownloadProgress) => void;

/**
 * A file beside the model, as a response.
 *
 * @throws BantamError if the server cannot be reached or refuses.
 */
export async function fetchFile(url: URL): Promise<Response> {
  const response = await fetch(url).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BantamError(`${url.href} cannot be fetched (${reason}); check the connection.`);
  });
  if (response.ok) return response;
  throw new BantamError(
    `${url.href} cannot be fetched (status ${response.status}); export the model again, and serve the whole folder.`,
  );
}

/** @throws BantamError if the file is missing or no JSON. */
export async function fetchJson(url: URL): Promise<unknown> {
  const response = await fetchFile(url);
  try {
    return (await response.json()) as unknown;
  } catch {
    throw new BantamError(`${url.href} is not JSON; export the model again.`);
  }
}

/** A file's bytes; undefined `onDownload` costs nothing. */
export async function fetchBytes(url: URL, onDownload?: OnDownload): Promise<Uint8Array> {
  const response = await fetchFile(url);
  const length = Number(response.headers.get('content-length'));
  // The length of a compressed body is not that of the file.
  const plain = response.headers.get('content-encoding') === null && length > 0;
  const total = plain ? length : undefined;
  if (onDownload === undefined || response.body === null) {
    return new Uint8Array(await response.arrayBuffer());
  }
  const file = url.pathname.split('/').at(-1) ?? url.href;
  const parts: Uint8Array[] = [];
  let received = 0;
  for await (const part of response.body) {
    parts.push(part);
    received += part.length;
    onDownload({ file, received, total });
  }
  const bytes = new Uint8Array(received);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
