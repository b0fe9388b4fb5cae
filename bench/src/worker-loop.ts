/** The loop of a worker in this process: requests of `protocol.ts` in, answers out, one JSON line each. */
import { createInterface } from 'node:readline';
import type { Request } from './protocol.js';

/** Answers the requests on standard input until it ends; a request that fails is answered by its error. */
export async function answerRequests(answer: (request: Request) => Promise<object>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let reply: object;
    try {
      reply = await answer(JSON.parse(line) as Request);
    } catch (error) {
      reply = { error: error instanceof Error ? error.message : String(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}
