import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import { Quarantine, type QuarantineOptions, type Source } from '../data/index.js';
import { SourceDigest } from '../data/select/pool.js';
import type { ScoreHeader } from '../data/select/score-file.js';
import { groupByEmbedding } from './embedding-duplicates.js';
import { negClipLoss, type EmbeddedPairs } from './neg-clip-loss.js';
import { RecordScorer, roundScore } from './record-scorer.js';
import { finishedScores, ScoreWriter } from './score-writer.js';
import {
  planScores,
  scoreNames,
  scoringSettings,
  type ScorerOptions,
  type ScoringPlan,
} from './scorers.js';

/** How far scoring has come. */
export interface ScoringProgress {
  readonly stage: 'target' | 'records' | 'negCLIPLoss' | 'duplicates';
  readonly done: number;
  readonly total: number;
}

export interface ScoreSourceOptions extends ScorerOptions {
  /** The score file; a run with the same settings resumes it. */
  readonly out: string;
  /** How many broken images stop the run. */
  readonly quarantine?: Omit<QuarantineOptions, 'path'>;
  /** Asks for an end after the batch in progress. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ScoringProgress) => void;
}

export interface ScoreSummary {
  readonly out: string;
  /** Names of the scores. */
  readonly scores: readonly string[];
  readonly records: number;
  /** Records with scores of an earlier run. */
  readonly kept: number;
  /** Records without scores, because their images are broken. */
  readonly broken: number;
  readonly interrupted: boolean;
}

/**
 * Writes scores of a source's records to a file, in the order of the source; see `scorers.ts` for
 * the scores. Images are read once, in batches that are always the same. After a run that was ended
 * at any moment, the same call resumes at the last whole batch, and gives the same file byte for
 * byte. A file with the final name is complete.
 *
 * @throws UsageError for scores without the model or target that they need.
 * @throws BantamError when the file was made with other settings or cannot be written, records lack
 * the captions that a score needs, or too many images are broken; what is scored is kept.
 */
export async function scoreSource(
  source: Source,
  { out, quarantine: limits, signal, onProgress, ...options }: ScoreSourceOptions,
): Promise<ScoreSummary> {
  const plan = planScores(options);
  const header: ScoreHeader = {
    bantam: 'scores',
    format: 1,
    data: source.spec,
    records: source.size,
    digest: digestOf(source, plan),
    scores: scoreNames(plan),
    settings: scoringSettings(plan),
  };
  const summary = { out, scores: header.scores, records: source.size, interrupted: false };
  const finished = await finishedScores(out, header);
  if (finished !== undefined) return { ...summary, kept: finished.rows, broken: finished.broken };

  const { batchSize } = plan;
  const featureWidth = featureWidthOf(plan);
  const writer = await ScoreWriter.open(out, header, { batchSize, featureWidth });
  const kept = writer.rows;
  let isOpen = true;
  try {
    const scorer = await RecordScorer.create(source, plan, (done, total) =>
      onProgress?.({ stage: 'target', done, total }),
    );
    try {
      const quarantine = new Quarantine(limits);
      onProgress?.({ stage: 'records', done: kept, total: source.size });
      while (writer.rows < source.size) {
        if (signal?.aborted === true) {
          return { ...summary, kept, broken: writer.broken, interrupted: true };
        }
        const end = Math.min(source.size, writer.rows + batchSize);
        const { rows, features } = await scorer.score(writer.rows, end);
        for (const { key, broken } of rows) {
          if (broken !== undefined) quarantine.add({ key, reason: broken }, end);
        }
        writer.append(rows, features);
        onProgress?.({ stage: 'records', done: end, total: source.size });
      }
    } finally {
      scorer.dispose();
    }
    const extra = await wholeScores(writer, { source, plan, onProgress });
    isOpen = false;
    const { broken } = writer;
    await writer.finish(extra);
    return { ...summary, kept, broken };
  } finally {
    if (isOpen) writer.close();
  }
}

/** @throws BantamError when no record has a caption and the scores need some. */
function digestOf(source: Source, { groups }: ScoringPlan): string {
  const digest = new SourceDigest();
  let captioned = false;
  for (let i = 0; i < source.size; i++) {
    const record = source.record(i);
    digest.add(record);
    captioned ||= record.captions.length > 0;
  }
  const needy = (['similarity', 'negCLIPLoss'] as const).find((name) => groups.has(name));
  if (!captioned && needy !== undefined) {
    throw new BantamError(
      `"${source.spec}" has no captions, which the score "${needy}" compares with the images; leave this score out.`,
    );
  }
  return digest.value;
}

/**
 * Values kept of each readable image for the scores that compare records: image features, then text
 * features.
 */
function featureWidthOf({ groups, model }: ScoringPlan): number {
  const kept = groups.has('negCLIPLoss') ? 2 : groups.has('duplicates') ? 1 : 0;
  return kept * (model?.loaded.config.embedDim ?? 0);
}

/** Further scores of a readable row. */
type Extra = (row: number) => Record<string, number | string>;

/**
 * Scores that compare a record with others, of each readable record; undefined if none is wanted.
 */
async function wholeScores(
  writer: ScoreWriter,
  {
    source,
    plan,
    onProgress,
  }: {
    source: Source;
    plan: ScoringPlan;
    onProgress: ScoreSourceOptions['onProgress'];
  },
): Promise<Extra | undefined> {
  const { groups, model, negatives, repetitions, seed, cosine } = plan;
  if (model === undefined || featureWidthOf(plan) === 0) return undefined;
  const width = model.loaded.config.embedDim;
  const records = await writer.readableRecords();
  const recordOf = (row: number) => source.record(at(records, row));
  const readImages = (rows: ArrayLike<number> & Iterable<number>): Float32Array =>
    writer.readFeatures(rows, { count: rows.length, first: 0, width });
  const parts: Extra[] = [];
  if (groups.has('negCLIPLoss')) {
    // Rows of records with captions: the others have no text features.
    const paired = Int32Array.from(records.keys()).filter(
      (row) => recordOf(row).captions.length > 0,
    );
    const readPairs = (indices: Int32Array): EmbeddedPairs => {
      const rows = indices.map((index) => at(paired, index));
      const text = writer.readFeatures(rows, { count: rows.length, first: width, width });
      return { image: readImages(rows), text };
    };
    const scores = await negClipLoss(readPairs, paired.length, {
      batchSize: negatives,
      repetitions,
      seed,
      temperature: Math.exp(-model.loaded.model.logitScale.item()),
      onProgress: (done, total) => onProgress?.({ stage: 'negCLIPLoss', done, total }),
    });
    const byRow = new Map(Array.from(paired, (row, i) => [row, at(scores, i)]));
    parts.push((row) => {
      const score = byRow.get(row);
      return score === undefined ? {} : { negCLIPLoss: roundScore(score) };
    });
  }
  if (groups.has('duplicates')) {
    const readRows = (start: number, end: number): Float32Array =>
      readImages(Array.from({ length: end - start }, (_, i) => start + i));
    const leaders = await groupByEmbedding(readRows, writer.readable, {
      width,
      cosine,
      onProgress: (done, total) => onProgress?.({ stage: 'duplicates', done, total }),
    });
    parts.push((row) => {
      const leader = at(leaders, row);
      return leader === row ? {} : { duplicateOf: recordOf(leader).key };
    });
  }
  return parts.length === 0
    ? undefined
    : (row) => Object.fromEntries(parts.flatMap((part) => Object.entries(part(row))));
}
