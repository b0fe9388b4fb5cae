/**
 * The one-to-one assignment of least total cost, by shortest augmenting paths over a dual solution that
 * a column reduction starts (Jonker and Volgenant 1987, without their other reductions). Equal costs
 * always give the same assignment.
 *
 * Time O(n³) at worst, one sweep of the matrix for every row that the reduction leaves; memory O(n).
 *
 * @param cost - n × n finite numbers, row after row
 * @returns the column of each row
 */
export function assign(cost: Float64Array, n: number): Int32Array {
  if (cost.length !== n * n) {
    throw new RangeError(`An assignment of ${n} rows takes ${n * n} costs, not ${cost.length}.`);
  }
  /** Price of each column; cost − price is least, in each row, at the row's own column. */
  const price = new Float64Array(n);
  const columnOf = new Int32Array(n).fill(-1);
  const rowOf = new Int32Array(n).fill(-1);
  reduceColumns(cost, { price, columnOf, rowOf });
  const distance = new Float64Array(n);
  const from = new Int32Array(n);
  /** Columns, those whose shortest path is known first. */
  const order = Int32Array.from(price.keys());
  for (let free = 0; free < n; free++) {
    if ((columnOf[free] ?? 0) >= 0) continue;
    let known = 0;
    let row = free;
    let least = 0;
    let end = -1;
    distance.fill(Infinity);
    while (end < 0) {
      const column = columnOf[row] ?? -1;
      // What the row's own column costs beyond its price, less the way there.
      const behind = column < 0 ? 0 : (cost[row * n + column] ?? 0) - (price[column] ?? 0) - least;
      let best = known;
      let shortest = Infinity;
      for (let k = known; k < n; k++) {
        const j = order[k] ?? 0;
        const way = (cost[row * n + j] ?? 0) - (price[j] ?? 0) - behind;
        if (way < (distance[j] ?? 0)) {
          distance[j] = way;
          from[j] = row;
        }
        const found = distance[j] ?? 0;
        if (found < shortest) {
          shortest = found;
          best = k;
        }
      }
      const next = order[best] ?? 0;
      order[best] = order[known] ?? 0;
      order[known] = next;
      known++;
      least = shortest;
      row = rowOf[next] ?? -1;
      if (row < 0) end = next;
    }
    for (let k = 0; k < known - 1; k++) {
      const j = order[k] ?? 0;
      price[j] = (price[j] ?? 0) + (distance[j] ?? 0) - least;
    }
    turnOver({ columnOf, rowOf, from }, end, free);
  }
  return columnOf;
}

/** Prices every column at its least cost, and assigns it to that row if the row is free. */
function reduceColumns(
  cost: Float64Array,
  { price, columnOf, rowOf }: Record<'columnOf' | 'rowOf', Int32Array> & { price: Float64Array },
): void {
  const n = price.length;
  const leastRow = new Int32Array(n);
  price.fill(Infinity);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const value = cost[i * n + j] ?? 0;
      if (value < (price[j] ?? 0)) {
        price[j] = value;
        leastRow[j] = i;
      }
    }
  }
  for (const [j, i] of leastRow.entries()) {
    if ((columnOf[i] ?? 0) >= 0) continue;
    columnOf[i] = j;
    rowOf[j] = i;
  }
}

/** Gives every row on the path the column that the path reached from it. */
function turnOver(
  { columnOf, rowOf, from }: Record<'columnOf' | 'rowOf' | 'from', Int32Array>,
  end: number,
  free: number,
): void {
  let column = end;
  for (;;) {
    const row = from[column] ?? free;
    const before = columnOf[row] ?? -1;
    rowOf[column] = row;
    columnOf[row] = column;
    if (row === free) return;
    column = before;
  }
}
