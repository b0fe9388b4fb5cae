/** A point of a curve. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Exponential moving average over the points, without the pull towards 0 at the start (Kingma and
 * Ba 2015, section 3). A point's weight halves with every `halfLife` points after it. Points whose
 * value is not finite are left out.
 */
export function smooth(points: readonly Point[], halfLife: number): Point[] {
  const keep = 0.5 ** (1 / halfLife);
  let sum = 0;
  let weight = 0;
  return points
    .filter(({ y }) => Number.isFinite(y))
    .map(({ x, y }) => {
      sum = keep * sum + (1 - keep) * y;
      weight = keep * weight + (1 - keep);
      return { x, y: sum / weight };
    });
}

/**
 * At most four points of each of `buckets` runs of points: its first, lowest, highest and last, so
 * that the curve looks the same when a bucket is no wider than a pixel.
 */
export function thin(points: readonly Point[], buckets: number): readonly Point[] {
  const size = Math.ceil(points.length / buckets);
  if (size <= 4) return points;
  const kept = new Set<Point>();
  for (let start = 0; start < points.length; start += size) {
    const run = points.slice(start, start + size);
    const byHeight = run.toSorted((a, b) => a.y - b.y);
    const ends = new Set([run[0], byHeight[0], byHeight.at(-1), run.at(-1)]);
    for (const point of run) if (ends.has(point)) kept.add(point);
  }
  return [...kept];
}
