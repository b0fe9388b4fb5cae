/**
 * Works on up to `workers` items at once and gives the results in the order of the items. The first
 * failure in that order ends it.
 */
export async function* mapInOrder<Item, Result>(
  items: AsyncIterable<Item>,
  workers: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const started: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    // A failure surfaces where the result is awaited; until then it must not end the process.
    result.catch(() => undefined);
    started.push(result);
    if (started.length === workers) yield* next(started);
  }
  while (started.length > 0) yield* next(started);
}

async function* next<Result>(started: Promise<Result>[]): AsyncGenerator<Result, void, undefined> {
  const first = started.shift();
  if (first !== undefined) yield await first;
}
