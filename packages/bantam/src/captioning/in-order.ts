/**
 * Works on up to `lanes` items at once and gives the results in the order of the items. The first
 * failure in that order ends it.
 */
export async function* mapInOrder<Item, Result>(
  items: AsyncIterable<Item>,
  lanes: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const begun: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    // Who awaits it hears of its failure; until then it must not end the process.
    result.catch(() => undefined);
    begun.push(result);
    if (begun.length === lanes) yield* next(begun);
  }
  while (begun.length > 0) yield* next(begun);
}

async function* next<Result>(begun: Promise<Result>[]): AsyncGenerator<Result, void, undefined> {
  const first = begun.shift();
  if (first !== undefined) yield await first;
}
