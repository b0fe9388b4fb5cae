/** The data of arms: subsets of the study's data, chosen once and written as files of keys. */
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import {
  openSource,
  readScores,
  samplesPerEpoch,
  selectSubset,
  subsetOf,
  withSubset,
  writeSubset,
  type CriterionInput,
  type ScoreTable,
  type Source,
} from '../../data/index.js';
import { chooseModel, dataFingerprint, distinctImages } from '../../train/index.js';
import type { Arm } from '../config/axes.js';
import type { StudyOptions } from '../config/schema.js';

/** The training data of an arm with one seed. */
export interface ArmData {
  /** Specification by which a run opens them. */
  readonly spec: string;
  readonly records: number;
  readonly samplesPerEpoch: number;
  /** Digest of keys, captions, labels and sizes of files. */
  readonly digest: string;
}

/** Opens the data of a study once, and chooses the subsets of its arms. */
export class StudyData {
  readonly #spec: string;
  readonly #source: Source;
  readonly #scores: ScoreTable | undefined;
  readonly #score: string;
  readonly #folder: string | undefined;
  readonly #known = new Map<string, Promise<ArmData>>();
  #model: string | undefined;

  private constructor(
    { data, scores }: Pick<StudyOptions, 'data' | 'scores'>,
    source: Source,
    { table, folder }: { table: ScoreTable | undefined; folder: string | undefined },
  ) {
    this.#spec = data;
    this.#source = source;
    this.#scores = table;
    this.#score = scores?.score ?? '';
    this.#folder = folder;
  }

  /**
   * @param folder - Folder for the files of subsets; undefined: none are written.
   * @throws BantamError if data or scores cannot be read.
   */
  static async open(
    study: Pick<StudyOptions, 'data' | 'scores'>,
    folder: string | undefined,
  ): Promise<StudyData> {
    const source = await openSource(study.data);
    const table = study.scores === undefined ? undefined : await readScores(study.scores.file);
    return new StudyData(study, source, { table, folder });
  }

  /** The preset for runs that name no model, by the number of distinct images. */
  get defaultModel(): string {
    this.#model ??= chooseModel(distinctImages(this.#source)).model;
    return this.#model;
  }

  /** The data of an arm; a random subset is that of the seed. */
  of({ quality, quantity }: Pick<Arm, 'quality' | 'quantity'>, seed: number): Promise<ArmData> {
    const name = [
      ...(quality < 1 ? [`top-${quality}`] : []),
      ...(quantity < 1 ? [`random-${quantity}-seed-${seed}`] : []),
    ].join('-');
    const known = this.#known.get(name) ?? this.#choose({ quality, quantity, seed }, name);
    this.#known.set(name, known);
    return known;
  }

  async #choose(
    { quality, quantity, seed }: { quality: number; quantity: number; seed: number },
    name: string,
  ): Promise<ArmData> {
    let source = this.#source;
    const choices: CriterionInput[] = [
      ...(quality < 1 ? [{ type: 'top', scores: [this.#score], fraction: quality } as const] : []),
      ...(quantity < 1 ? [{ type: 'random', fraction: quantity, seed } as const] : []),
    ];
    let spec = this.#spec;
    for (const [i, criterion] of choices.entries()) {
      // Scores are of all records, not of those that another choice left.
      const isScored = criterion.type === 'top' && this.#scores !== undefined;
      const scores = isScored ? { '': this.#scores } : {};
      const { header, keys } = await selectSubset(source, [criterion], { scores });
      source = subsetOf(source, new Set(keys), { name });
      if (i < choices.length - 1 || this.#folder === undefined) continue;
      const file = join(this.#folder, `${name}.txt`);
      const criteria = choices.map((choice) => ({ ...choice }));
      writeSubset(file, { ...header, data: this.#spec, of: this.#source.size, criteria }, keys);
      spec = withSubset(this.#spec, file);
    }
    const perEpoch = samplesPerEpoch(source);
    if (perEpoch < 2) {
      throw new BantamError(
        `The subset ${name} of ${this.#spec} has ${perEpoch} sample, but contrastive training needs at least 2; keep a larger fraction.`,
      );
    }
    const { digest } = await dataFingerprint(source);
    return { spec, records: source.size, samplesPerEpoch: perEpoch, digest };
  }
}
