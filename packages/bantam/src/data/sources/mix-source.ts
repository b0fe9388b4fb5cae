import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { isObject } from '../../base/schema.js';
import type { ImageLocation } from '../images/location.js';
import { samplesPerEpoch } from '../loader/order.js';
import { formatSpec, resolveSpec, type MixPart, type SourceDescription } from './describe.js';
import type { SourceNote } from './notes.js';
import { checkQuery, type SourceSpec } from './spec.js';
import { decodeFile } from './tables/text-bytes.js';
import type { DataRecord, LabelSet, MixturePart, Source } from './source.js';

/** A source of a mix, opened. */
interface OpenPart {
  readonly name: string;
  readonly source: Source;
  readonly weight: number | undefined;
}

/**
 * Opens several sources as one: `mix:FILE`, a JSON file
 * `{"sources": [{"data": SPEC, "weight": 2, "name": "photos"}, …]}`. Paths in it are relative to the
 * file. The weight is what an epoch sees: with weights 3 and 1 three quarters of its samples are of
 * the first source, whatever the sources' sizes; without weights every sample counts alike. An epoch
 * has as many samples as the sources have in all. A source of which an epoch takes less than a pass is
 * visited over several epochs, each sample once before any comes again; one of which it takes
 * more comes again within the epoch.
 *
 * A record's key is its key in its source after the source's name and a slash.
 *
 * @param open Opens a source by its specification.
 */
export async function openMix(
  spec: SourceSpec,
  open: (spec: string) => Promise<Source>,
): Promise<Source> {
  checkQuery(spec, []);
  const parts: OpenPart[] = [];
  for (const { data, weight, name = String(parts.length + 1) } of readParts(spec)) {
    if (parts.some((part) => part.name === name)) {
      throw new BantamError(`Two sources of "${spec.text}" are called "${name}"; rename one.`);
    }
    const text = typeof data === 'string' ? data : formatSpec(data);
    parts.push({ name, source: await open(text), weight });
  }
  return new MixSource(spec.text, parts);
}

/** Sources of one data set, joined in order; a single one is itself. */
export function joinSources(
  spec: string,
  sources: readonly Source[],
  names: readonly string[],
): Source {
  const [only] = sources;
  if (only !== undefined && sources.length === 1) return only;
  return new MixSource(
    spec,
    sources.map((source, i) => ({ name: at(names, i), source, weight: undefined })),
  );
}

function readParts({ path, kind, text }: SourceSpec): MixPart[] {
  const isInline = path.startsWith('{');
  let content = path;
  if (!isInline) {
    try {
      content = decodeFile(readFileSync(path)) ?? '';
    } catch (error) {
      throw new BantamError(
        `The mix "${path}" cannot be read (${causeOf(error)}); name an existing file after "${kind}:".`,
      );
    }
  }
  const name = isInline ? text : path;
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw new BantamError(`The mix "${name}" is not JSON (${causeOf(error)}).`);
  }
  const sources = Array.isArray(parsed) ? parsed : isObject(parsed) ? parsed.sources : undefined;
  if (!Array.isArray(sources) || sources.length === 0) {
    throw new BantamError(
      `The mix "${name}" has no list of sources, {"sources": [{"data": "csv:a.csv", "weight": 2}]}.`,
    );
  }
  return sources.map((source: unknown, i): MixPart => {
    const part = readPart(source, `Source ${i + 1} of the mix "${name}"`);
    if (isInline) return part;
    const data = typeof part.data === 'string' ? part.data : formatSpec(part.data);
    return { ...part, data: resolveSpec(data, dirname(path)) };
  });
}

function readPart(value: unknown, what: string): MixPart {
  const part: unknown = typeof value === 'string' ? { data: value } : value;
  if (!isObject(part)) throw new BantamError(`${what} is neither a text nor an object.`);
  const { data, weight, name } = part;
  const other = Object.keys(part).find((key) => !['data', 'weight', 'name'].includes(key));
  if (other !== undefined) {
    throw new BantamError(`${what} has "${other}"; it can have data, weight and name.`);
  }
  const isTyped = isObject(data) && typeof data.type === 'string';
  if (typeof data !== 'string' && !isTyped) {
    throw new BantamError(`${what} has no "data", a specification such as "csv:pairs.csv".`);
  }
  const isWeight = typeof weight === 'number' && Number.isFinite(weight) && weight > 0;
  if (weight !== undefined && !isWeight) {
    throw new BantamError(
      `${what} has the weight ${JSON.stringify(weight)}; give a number above 0.`,
    );
  }
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    throw new BantamError(`${what} has a name that is no text.`);
  }
  return {
    data: data as string | SourceDescription,
    ...(isWeight && { weight }),
    ...(name !== undefined && { name }),
  };
}

class MixSource implements Source {
  readonly size: number;
  readonly labelSets: Source['labelSets'];
  readonly captionTemplates: Source['captionTemplates'];
  readonly augment: Source['augment'];
  readonly licences: Source['licences'];
  readonly mixture: readonly MixturePart[];
  readonly notes: readonly SourceNote[];
  readonly #parts: readonly OpenPart[];
  readonly #starts: readonly number[];

  constructor(
    readonly spec: string,
    parts: readonly OpenPart[],
  ) {
    this.#parts = parts;
    const starts = [0];
    for (const { source } of parts) starts.push(at(starts, -1) + source.size);
    this.#starts = starts;
    this.size = at(starts, -1);
    const { source: first } = at(parts, 0);
    this.captionTemplates = first.captionTemplates;
    this.augment = first.augment;
    this.licences = parts.flatMap(({ source }) => source.licences);
    this.labelSets = joinLabelSets(parts, this.size);
    this.mixture = mixtureOf(parts, starts);
    this.notes = [...this.#partNotes(), ...parts.flatMap((part) => notesOf(part))];
  }

  record(index: number): DataRecord {
    const { part, position } = this.#find(index);
    const { captionTemplates } = part.source;
    const record = part.source.record(position);
    return {
      ...record,
      key: `${part.name}/${record.key}`,
      ...(captionTemplates !== this.captionTemplates && { captionTemplates }),
    };
  }

  location(index: number): ImageLocation {
    const { part, position } = this.#find(index);
    return part.source.location(position);
  }

  image(index: number): Promise<Uint8Array> {
    const { part, position } = this.#find(index);
    return part.source.image(position);
  }

  #find(index: number): { part: OpenPart; position: number } {
    if (!(Number.isInteger(index) && index >= 0 && index < this.size)) {
      throw new RangeError(`${this.spec} has no record ${index}`);
    }
    let number = 0;
    while (at(this.#starts, number + 1) <= index) number++;
    return { part: at(this.#parts, number), position: index - at(this.#starts, number) };
  }

  #partNotes(): SourceNote[] {
    const total = this.mixture.reduce((sum, { samples }) => sum + samples, 0);
    return this.#parts.map(({ name, source }, i) => {
      const { samples } = at(this.mixture, i);
      const fraction = ((100 * samples) / total).toFixed(1);
      const passes = (samples / samplesPerEpoch(source)).toFixed(2);
      const message = `"${name}" (${source.spec}) has ${source.size} records; an epoch takes ${samples} samples of it, ${fraction} % of ${total}, ${passes} passes.`;
      return { kind: 'info', count: 1, message, where: [] };
    });
  }
}

function notesOf({ name, source: { notes = [] } }: OpenPart): SourceNote[] {
  return notes.map((note) => ({ ...note, message: `"${name}": ${note.message}` }));
}

/** How many samples of each source an epoch has: in proportion to the weights, rounded to the total. */
function mixtureOf(parts: readonly OpenPart[], starts: readonly number[]): MixturePart[] {
  const perPass = parts.map(({ source }) => samplesPerEpoch(source));
  const total = perPass.reduce((sum, count) => sum + count, 0);
  const given = parts.flatMap(({ weight }) => weight ?? []);
  if (given.length > 0 && given.length < parts.length) {
    const without = parts.find(({ weight }) => weight === undefined);
    throw new BantamError(
      `The source "${without?.name ?? ''}" of a mix has no weight, but others have; give all of them one, or none.`,
    );
  }
  const weights = parts.map(({ weight }, i) => weight ?? at(perPass, i));
  const sum = weights.reduce((all, weight) => all + weight, 0);
  // Cumulative rounding keeps the total.
  let before = 0;
  let cumulative = 0;
  return parts.map(({ source }, i) => {
    cumulative += at(weights, i);
    const until = Math.round((total * cumulative) / sum);
    const samples = until - before;
    before = until;
    const { grouping, mixture, size } = source;
    return {
      ...{ start: at(starts, i), size, samples },
      ...(grouping && { grouping }),
      ...(mixture && { mixture }),
    };
  });
}

/** Classes of one name are one class; records of sources without the classification have none. */
function joinLabelSets(parts: readonly OpenPart[], size: number): Record<string, LabelSet> {
  const joined: Record<string, LabelSet> = {};
  const names = new Set(parts.flatMap(({ source }) => Object.keys(source.labelSets)));
  for (const name of names) {
    const sets = parts.map(({ source }) => source.labelSets[name]);
    const classes = [...new Set(sets.flatMap((set) => set?.classes ?? []))];
    const ids = new Map(classes.map((className, id) => [className, id]));
    const labels = new Int32Array(size).fill(-1);
    const isMultiLabel = sets.some((set) => set?.several !== undefined);
    const several = Array.from({ length: isMultiLabel ? size : 0 }, () => new Int32Array());
    let start = 0;
    for (const [i, set] of sets.entries()) {
      for (const [record, label] of (set?.labels ?? new Int32Array()).entries()) {
        if (label < 0) continue;
        const id = ids.get(at(set?.classes ?? [], label)) ?? -1;
        if (isMultiLabel) several[start + record] = Int32Array.of(id);
        else labels[start + record] = id;
      }
      for (const [record, own] of (set?.several ?? []).entries()) {
        several[start + record] = own.map((id) => ids.get(at(set?.classes ?? [], id)) ?? -1);
      }
      start += at(parts, i).source.size;
    }
    const templates = sets.find((set) => set !== undefined)?.templates ?? [];
    joined[name] = { classes, templates, labels, ...(isMultiLabel && { several }) };
  }
  return joined;
}
