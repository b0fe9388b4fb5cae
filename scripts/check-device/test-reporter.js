/**
 * A node:test reporter that writes a line of JSON for each test as it ends, so that a run that is ended
 * leaves what it has found.
 *
 * @param {AsyncIterable<{ type: string, data: any }>} events
 */
export default async function* testReporter(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    if (data.details?.error?.failureType === 'subtestsFailed') continue;
    const skipped = data.skip !== undefined || data.todo !== undefined;
    const result = skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed';
    const message = data.details?.error?.cause?.message ?? data.details?.error?.message;
    const reason = result === 'failed' ? String(message).slice(0, 500) : undefined;
    yield `${JSON.stringify({ name: data.name, result, reason })}\n`;
  }
}
