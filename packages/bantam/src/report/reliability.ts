import type { ReliabilityBin } from '../eval/index.js';
import { markup, type Markup } from './markup.js';

/** Side length of the diagram in pixels. */
const side = 220;

/** Reliability diagram: accuracy in each bin of confidence, beside the diagonal of a calibrated model. */
export function reliabilityChart(bins: readonly ReliabilityBin[]): Markup {
  const bars = bins.map(({ low, high, accuracy, samples }) => {
    if (accuracy === null) return null;
    const height = accuracy * side;
    return markup`<rect class="bin" x="${low * side}" y="${side - height}" width="${(high - low) * side - 1}" height="${height}"><title>${samples} images</title></rect>`;
  });
  return markup`<svg class="chart reliability" viewBox="0 0 ${side} ${side}" style="max-width:${side}px" role="img" aria-label="accuracy by confidence">
    ${bars}<line class="reference" x1="0" y1="${side}" x2="${side}" y2="0"/>
  </svg>`;
}
