/**
 * A node:test reporter that counts tests and writes `{passed, failed, skipped}` as JSON. Suites are
 * not counted, nor a test that failed only because a test inside it did; a file in which nothing
 * was tested is a failure.
 *
 * @param {AsyncIterable<{ type: string, data: any }>} events
 */
export default async function* countReporter(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    if (data.details?.error?.failureType === 'subtestsFailed') continue;
    // node:test reports a file by its own path where the file reported nothing.
    const emptyFile = data.nesting === 0 && /\.test\.js$/.test(data.name);
    if (data.skip !== undefined || data.todo !== undefined) counts.skipped += 1;
    else if (type === 'test:fail' || emptyFile) counts.failed += 1;
    else counts.passed += 1;
  }
  yield JSON.stringify(counts);
}
