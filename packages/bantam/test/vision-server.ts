import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that the server got. */
export interface Asked {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The body, read as JSON. */
  readonly body: {
    readonly model: string;
    readonly seed: number;
    readonly n?: number;
    readonly messages: readonly {
      readonly content: readonly { readonly image_url?: { readonly url: string } }[];
    }[];
    readonly [name: string]: unknown;
  };
  /** How many came before. */
  readonly number: number;
}

/** An answer: a status with a body, or texts, one for each choice. */
export type Reply =
  | { readonly status?: number; readonly body: string; readonly headers?: Record<string, string> }
  | readonly string[]
  /** Nothing, ever. */
  | 'silence'
  /** The connection is cut. */
  | 'hang up';

export interface VisionServer {
  readonly url: string;
  readonly asked: readonly Asked[];
  close(): Promise<void>;
}

/** A server with OpenAI's chat interface on this machine, which answers as told. */
export async function serveVision(
  answer: (asked: Asked) => Reply,
  { delay = 0 }: { /** Milliseconds before each answer. */ delay?: number } = {},
): Promise<VisionServer> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Asked['body'];
      const { url: path = '', headers } = request;
      const one = { path, headers, body, number: asked.length };
      asked.push(one);
      const reply = answer(one);
      if (reply === 'silence') return;
      if (reply === 'hang up') {
        request.socket.destroy();
        return;
      }
      if ('body' in reply) {
        response.writeHead(reply.status ?? 200, reply.headers).end(reply.body);
        return;
      }
      const choices = reply.map((content) => ({
        message: { role: 'assistant', content },
        finish_reason: 'stop',
      }));
      setTimeout(() => response.writeHead(200).end(JSON.stringify({ choices })), delay);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Different captions for different images and seeds, always the same for the same ones. */
export function captionsOf({ body }: Asked): string[] {
  const image = body.messages[0]?.content[1]?.image_url?.url ?? '';
  let sum = 0;
  for (let i = 0; i < image.length; i++) sum = (sum * 31 + image.charCodeAt(i)) % 9973;
  return Array.from({ length: body.n ?? 1 }, (_, i) => `image ${sum}, told as ${body.seed + i}`);
}
