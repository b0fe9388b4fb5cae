/** Side length of the stored emoji images in pixels. */
export const emojiSize = 64;

/** An npm package of an exact version. */
export interface PinnedPackage {
  readonly name: string;
  readonly version: string;
}

/** One artist's drawings of the Unicode emoji. */
export interface EmojiStyle {
  readonly name: string;
  /** Trained on; the other styles measure out-of-distribution generalisation. */
  readonly inDistribution: boolean;
  readonly source: PinnedPackage;
  /** Folder of the images within the package: one a code-point sequence. */
  readonly folder: string;
  readonly licence: string;
  readonly attribution: string;
}

/** Names, keywords, groups and subgroups of the emoji. */
export const emojiNames: PinnedPackage & { licence: string; attribution: string } = {
  name: 'emojibase-data',
  version: '17.0.0',
  licence: 'MIT',
  attribution: 'Emojibase, © Miles Johnson',
};

const openmoji: PinnedPackage = { name: 'openmoji', version: '17.0.0' };

export const emojiStyles: readonly EmojiStyle[] = [
  {
    name: 'openmoji',
    inDistribution: true,
    source: openmoji,
    folder: 'color/svg',
    licence: 'CC-BY-SA-4.0',
    attribution: 'OpenMoji, the open-source emoji and icon project (color)',
  },
  {
    name: 'fluent',
    inDistribution: true,
    source: { name: '@lobehub/fluent-emoji-flat', version: '1.1.0' },
    folder: 'assets',
    licence: 'MIT',
    attribution: 'Fluent Emoji (flat), © Microsoft Corporation; packaged by LobeHub',
  },
  {
    name: 'noto',
    inDistribution: true,
    source: { name: 'emoji-datasource-google', version: '16.0.0' },
    folder: 'img/google/64',
    licence: 'Apache-2.0',
    attribution: 'Noto Emoji, © Google; packaged by emoji-data (MIT, © Cal Henderson)',
  },
  {
    name: 'twemoji',
    inDistribution: true,
    source: { name: '@discordapp/twemoji', version: '16.0.1' },
    folder: 'dist/svg',
    licence: 'CC-BY-4.0',
    attribution: 'Twemoji, © Twitter and other contributors; packaged by Discord',
  },
  {
    name: 'openmoji-line',
    inDistribution: false,
    source: openmoji,
    folder: 'black/svg',
    licence: 'CC-BY-SA-4.0',
    attribution: 'OpenMoji, the open-source emoji and icon project (black)',
  },
  {
    name: 'fluent-3d',
    inDistribution: false,
    source: { name: '@lobehub/fluent-emoji-3d', version: '1.1.0' },
    folder: 'assets',
    licence: 'MIT',
    attribution: 'Fluent Emoji (3D), © Microsoft Corporation; packaged by LobeHub',
  },
];
