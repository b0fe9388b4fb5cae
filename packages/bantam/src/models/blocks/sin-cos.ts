/**
 * Fixed positions of the G×G places of a grid, row by row: G²·width numbers. The first half of each
 * is of the column x, the other of the row y, each (sin(p·ω₀), …, cos(p·ω₀), …) with
 * ωₖ = 10000^(−k/(width/4)) (Vaswani et al. 2017, section 3.5, in two dimensions as He et al. 2022
 * have it; big_vision's differ in the denominator).
 */
export function sinCosPositions(grid: number, width: number): number[] {
  const quarter = width / 4;
  const omegas = Array.from({ length: quarter }, (_, k) => 10000 ** (-k / quarter));
  const half = (place: number) => [
    ...omegas.map((omega) => Math.sin(place * omega)),
    ...omegas.map((omega) => Math.cos(place * omega)),
  ];
  const axis = Array.from({ length: grid }, (_, place) => half(place));
  return axis.flatMap((row) => axis.flatMap((column) => [...column, ...row]));
}
