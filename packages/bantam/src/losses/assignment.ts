import { at } from '../base/at.js';

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
  const state = reduceColumns(cost, n);
  const { price, columnOf, rowOf } = state;
  /** Length of the shortest path to each column, and the row before it on that path. */
  const pathCost = new Float64Array(n);
  const rowBefore = new Int32Array(n);
  /** Columns, those whose shortest path is known first. */
  const order = Int32Array.from(price.keys());
  for (let free = 0; free < n; free++) {
    if (at(columnOf, free) >= 0) continue;
    let known = 0;
    let row = free;
    let least = 0;
    let end = -1;
    pathCost.fill(Infinity);
    while (end < 0) {
      const column = at(columnOf, row);
      // Reduced cost of the row's own column, less the length of the path to the row.
      const reducedCost = column < 0 ? 0 : at(cost, row * n + column) - at(price, column) - least;
      let best = known;
      let shortest = Infinity;
      for (let k = known; k < n; k++) {
        const j = order[k] ?? NaN;
        const length = (cost[row * n + j] ?? NaN) - (price[j] ?? NaN) - reducedCost;
        if (length < (pathCost[j] ?? NaN)) {
          pathCost[j] = length;
          rowBefore[j] = row;
        }
        const found = pathCost[j] ?? NaN;
        if (found < shortest) {
          shortest = found;
          best = k;
        }
      }
      const next = at(order, best);
      order[best] = at(order, known);
      order[known] = next;
      known++;
      least = shortest;
      row = at(rowOf, next);
      if (row < 0) end = next;
    }
    for (let k = 0; k < known - 1; k++) {
      const j = at(order, k);
      price[j] = at(price, j) + at(pathCost, j) - least;
    }
    augmentPath(state, rowBefore, { end, free });
  }
  return columnOf;
}

/** A partial assignment. */
interface Assignment {
  /** Price of each column; cost − price is least, in each row, at the row's own column. */
  readonly price: Float64Array;
  /** Column of each row; −1: none. */
  readonly columnOf: Int32Array;
  /** Row of each column; −1: none. */
  readonly rowOf: Int32Array;
}

/** Prices every column at its least cost, and assigns it to that row if the row is free. */
function reduceColumns(cost: Float64Array, n: number): Assignment {
  const price = new Float64Array(n).fill(Infinity);
  const columnOf = new Int32Array(n).fill(-1);
  const rowOf = new Int32Array(n).fill(-1);
  const leastRow = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const value = cost[i * n + j] ?? NaN;
      if (value < (price[j] ?? NaN)) {
        price[j] = value;
        leastRow[j] = i;
      }
    }
  }
  for (const [j, i] of leastRow.entries()) {
    if (at(columnOf, i) >= 0) continue;
    columnOf[i] = j;
    rowOf[j] = i;
  }
  return { price, columnOf, rowOf };
}

/** Gives every row on the path the column that the path reached from it. */
function augmentPath(
  { columnOf, rowOf }: Assignment,
  rowBefore: Int32Array,
  { end, free }: { readonly end: number; readonly free: number },
): void {
  let column = end;
  for (;;) {
    const row = at(rowBefore, column);
    const before = at(columnOf, row);
    rowOf[column] = row;
    columnOf[row] = column;
    if (row === free) return;
    column = before;
  }
}
