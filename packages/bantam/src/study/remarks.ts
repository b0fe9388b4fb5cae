/** Remarks on a study's runs: less than all of the data, training that did not go as planned. */
import { countOf } from '../base/count-of.js';

/** Incidents of a run that its numbers do not show. */
export interface RunIncidents {
  /** Training images that could not be read. */
  readonly broken: number;
  /** Steps that changed nothing, as their loss or gradient was not finite. */
  readonly skipped: number;
  /** True if it ended before its budget, for want of better validations. */
  readonly stoppedEarly: boolean;
  /** Data sets of which images could not be read when the model was measured, and how many. */
  readonly unmeasured: readonly { readonly dataset: string; readonly images: number }[];
}

interface RunWithIncidents {
  /** The run directory. */
  readonly run: string;
  readonly incidents: RunIncidents;
}

/** Sentences about the runs of some arms; empty if all went as planned. A run of two arms counts once. */
export function remarksOn(
  arms: readonly { readonly rows: readonly RunWithIncidents[] }[],
): string[] {
  const rows = [...new Map(arms.flatMap(({ rows }) => rows).map((row) => [row.run, row])).values()];
  const incidents = rows.map((row) => row.incidents);
  const inRuns = (count: number): string => `${count} of ${countOf(rows.length, 'run')}`;
  const most = (of: (one: RunIncidents) => number): [number, number] => [
    Math.max(0, ...incidents.map(of)),
    incidents.filter((one) => of(one) > 0).length,
  ];
  const [broken, ofBroken] = most(({ broken }) => broken);
  const [skipped, ofSkipped] = most(({ skipped }) => skipped);
  const [, ofStopped] = most(({ stoppedEarly }) => Number(stoppedEarly));
  const unmeasured = incidents.flatMap((one) => one.unmeasured);
  const datasets = new Set(unmeasured.map(({ dataset }) => dataset));
  return [
    ...[...datasets].map((name) => {
      const own = unmeasured.filter(({ dataset }) => dataset === name);
      const images = Math.max(...own.map((one) => one.images));
      return `${countOf(images, 'image')} of ${name} could not be read: the metrics are of the others.`;
    }),
    ...(broken > 0
      ? [
          `Up to ${countOf(broken, 'training image')} could not be read, in ${inRuns(ofBroken)}: others took their place.`,
        ]
      : []),
    ...(skipped > 0
      ? [
          `Up to ${countOf(skipped, 'step')} had a loss or a gradient that was not finite, in ${inRuns(ofSkipped)}: they changed nothing.`,
        ]
      : []),
    ...(ofStopped > 0
      ? [`${inRuns(ofStopped)} stopped early, for want of better validations.`]
      : []),
  ];
}
