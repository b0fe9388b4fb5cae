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
            message: `${folder}/ lies below ${name}/ and must not import from it.`,
          })),
        },
      ],
    },
  };
}

export default tseslint.config(
  {
    ignores: ['**/dist/', '**/dist-test/', '**/build/', '**/node_modules/', 'runs/', 'quickstart/'],
  },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
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
        process: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
        Buffer: 'readonly',
      },
    },
  },
  ...folders.map((name, index) => layerRule(name, folders.slice(index + 1))),
);
