import type { GrowSummary } from '../search/index.js';

/** Most broken images that are named. */
const mostNamed = 20;

/** Lines about an update of vectors, and about the images that could not be read. */
export function describeUpdate(summary: GrowSummary): string {
  const { added, changed, relabelled, unchanged, dropped, duplicates, quarantined } = summary;
  const counts = [
    `${added} added`,
    `${changed} changed`,
    `${relabelled} with new captions or metadata`,
    `${dropped} dropped`,
    `${unchanged} unchanged`,
  ];
  const twice =
    duplicates === 0
      ? []
      : [`${duplicates} records have the key of another one and were left out.`];
  const broken = quarantined
    .slice(0, mostNamed)
    .map(({ key, reason }) => `Broken: ${key}: ${reason}`);
  const more = quarantined.length - broken.length;
  return [
    `${counts.join(', ')}.`,
    ...twice,
    ...broken,
    ...(more > 0 ? [`${more} more are broken; --json names them all.`] : []),
  ].join('\n');
}
