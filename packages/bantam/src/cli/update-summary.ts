import type { GrowSummary } from '../search/index.js';
import { countOf } from '../base/count-of.js';

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
      : [`${countOf(duplicates, 'record')} left out, with the key of another one.`];
  const broken = quarantined
    .slice(0, mostNamed)
    .map(({ key, reason }) => `Broken: ${key}: ${reason}`);
  const named = quarantined.length > mostNamed ? '; --json names them all' : '';
  const total =
    quarantined.length === 0
      ? []
      : [`${countOf(quarantined.length, 'image')} broken, without a vector${named}.`];
  return [`${counts.join(', ')}.`, ...twice, ...broken, ...total].join('\n');
}
