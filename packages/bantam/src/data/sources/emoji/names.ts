import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../../base/errors.js';

/** An emoji, or one skin-tone variant of it. */
export interface EmojiEntry {
  /** Code points in upper-case hexadecimal, joined by hyphens. */
  readonly hexcode: string;
  /** Hexcode of the variant without skin tones; the entry's own if it has none. */
  readonly concept: string;
  readonly name: string;
  readonly tags: readonly string[];
  /** For people: `animals & nature`. */
  readonly group: string;
  /** For people: `animal bug`. */
  readonly subgroup: string;
  /** `default`, a tone such as `medium-dark`, or two of them joined by `+`. */
  readonly skin: string;
}

/** The entries in the Unicode order, and the classes in the same order. */
export interface EmojiNames {
  readonly entries: readonly EmojiEntry[];
  readonly groups: readonly string[];
  readonly subgroups: readonly string[];
}

const tones = ['light', 'medium-light', 'medium', 'medium-dark', 'dark'];

/** Subgroups whose Unicode key does not read as words once its hyphens are spaces. */
const subgroupWords: Readonly<Record<string, string>> = {
  'face-hand': 'face with hand',
  'face-hat': 'face with hat',
  'face-glasses': 'face with glasses',
  'face-neutral-skeptical': 'neutral or skeptical face',
  'hand-prop': 'hand with prop',
  'av-symbol': 'audio video symbol',
  alphanum: 'letters and numbers',
  geometric: 'geometric shape',
  'person-symbol': 'symbol of a person',
  time: 'clock and time',
};

/** A hexcode without the marks that only ask for a presentation, as styles differ in using them. */
export function canonicalHexcode(hexcode: string): string {
  return hexcode
    .toLowerCase()
    .split('-')
    .map((point) => point.padStart(4, '0'))
    .filter((point) => point !== 'fe0f' && point !== '200d')
    .join('-');
}

interface EmojibaseVariant {
  readonly hexcode: string;
  readonly label: string;
  readonly order?: number;
  readonly group?: number;
  readonly subgroup?: number;
  readonly tags?: readonly string[];
  readonly tone?: number | readonly number[];
  readonly skins?: readonly EmojibaseVariant[];
}

interface EmojibaseGroups {
  readonly groups: Readonly<Record<string, string>>;
  readonly subgroups: Readonly<Record<string, string>>;
}

interface EmojibaseMessages {
  readonly groups: readonly { readonly key: string; readonly message: string }[];
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'));
}

function keyOf(groups: Readonly<Record<string, string>>, id: number): string {
  const key = groups[id];
  if (key === undefined) throw new BantamError(`The emoji data have no group ${id}.`);
  return key;
}

/**
 * Reads the names from an installed emojibase-data package. Components (bare skin tones and hair
 * styles) and lone regional indicators are left out: they are parts of emoji.
 */
export async function readEmojibase(directory: string): Promise<EmojiNames> {
  const data = (await readJson(join(directory, 'en/data.json'))) as EmojibaseVariant[];
  const meta = (await readJson(join(directory, 'meta/groups.json'))) as EmojibaseGroups;
  const messages = (await readJson(join(directory, 'en/messages.json'))) as EmojibaseMessages;
  const groupName = (id: number): string => {
    const key = keyOf(meta.groups, id);
    return messages.groups.find((group) => group.key === key)?.message ?? key;
  };
  const subgroupName = (id: number): string => {
    const key = keyOf(meta.subgroups, id);
    return subgroupWords[key] ?? key.replace(/^(face)-(.*)/, '$2 $1').replaceAll('-', ' ');
  };
  const entries: EmojiEntry[] = [];
  const emoji = data
    .filter(({ group }) => group !== undefined && meta.groups[group] !== 'component')
    .sort((a, b) => (a.order ?? 0) - (b.order ?? 0));
  for (const base of emoji) {
    for (const variant of [base, ...(base.skins ?? [])]) {
      const tone = [variant.tone ?? []].flat();
      entries.push({
        hexcode: variant.hexcode,
        concept: base.hexcode,
        name: variant.label,
        tags: base.tags ?? [],
        group: groupName(base.group ?? 0),
        subgroup: subgroupName(base.subgroup ?? 0),
        skin: tone.map((id) => tones[id - 1]).join('+') || 'default',
      });
    }
  }
  return {
    entries,
    groups: [...new Set(entries.map(({ group }) => group))],
    subgroups: [...new Set(entries.map(({ subgroup }) => subgroup))],
  };
}
