import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';
import { layers } from './scripts/layers.js';

const folders = layers.map(({ folder }) => folder);

/** Forbids a layer's files to import from the layers above it. */
function layerRule(folder, above) {
  return {
    files: [`packages/bantam/src/${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: above.map((name) => ({
            group: [`**/${name}/*`, `**/${name}/**`],
            message: `${folder}/ is below ${name}/ and must not import from it.`,
          })),
        },
      ],
    },
  };
}

/** Left sides of `??` that index: `list[i]`, `lists[i]?.[j]`, `list.at(-1)`. */
const indexing = [
  '[left.type="MemberExpression"][left.computed=true]',
  '[left.type="ChainExpression"][left.expression.computed=true]',
  '[left.type="CallExpression"][left.callee.property.name="at"]',
];

/** Right sides that invent a value: a literal, an empty list, NaN. A `null` says that there is none. */
const invented = [
  '[right.type="Literal"][right.raw!="null"]',
  '[right.type=/^(ArrayExpression|UnaryExpression)$/]',
  '[right.name=/^(NaN|Infinity)$/]',
];

/** Everything but a tally, `counts[name] = (counts[name] ?? 0) + 1`: the first of a name counts from 0. */
const tallied = ':not(AssignmentExpression[left.computed=true] > BinaryExpression[operator="+"])';

/** An index that is out of range is a fault, and a default would hide it. */
const indexRule = {
  rules: {
    'no-restricted-syntax': [
      'error',
      ...indexing.flatMap((left) =>
        invented.map((right) => ({
          selector: `${tallied} > LogicalExpression[operator="??"]${left}${right}`,
          message:
            'A default hides an index that is out of range; use at(), or destructuring with a check.',
        })),
      ),
    ],
  },
};

/**
 * Files in which a default on indexed access invents nothing: loops of numeric kernels, where a check in
 * every step would cost, and tests, which a wrong value fails.
 */
const indexingExempt = [
  'packages/bantam/src/text/token-trie.ts',
  'packages/bantam/src/text/sentencepiece/segment-unigram.ts',
  'packages/bantam/src/text/unigram/{lattice,seed-tokens}.ts',
  'packages/bantam/src/data/augment/{affine,blur,color,operations,tone}.ts',
  'packages/bantam/src/data/images/{decode,resample-window}.ts',
  'packages/web/src/{decode,image-index,prepare,vectors}.ts',
  'packages/bantam/src/data/sources/shards/tar.ts',
  'packages/bantam/src/eval/{metrics/ranks,probes/lbfgs}.ts',
  'packages/bantam/src/losses/assignment.ts',
  'packages/bantam/{src,test}/**/*.test.ts',
  'packages/torch/install/*.test.js',
  'packages/bantam/test/**',
];

export default tseslint.config(
  {
    ignores: [
      '**/dist/',
      '**/dist-test/',
      '**/build/',
      '**/node_modules/',
      'docs/api/',
      'runs/',
      'quickstart/',
    ],
  },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['packages/torch/install/*.d.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      // node:test's describe and it return promises that the runner itself awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['describe', 'it', 'test'] },
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.js'],
    languageOptions: {
      globals: {
        console: 'readonly',
        fetch: 'readonly',
        process: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
        Buffer: 'readonly',
      },
    },
  },
  { files: ['**/*.ts', '**/*.js'], ignores: indexingExempt, ...indexRule },
  ...folders.map((name, index) => layerRule(name, folders.slice(index + 1))),
);
