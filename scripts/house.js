/**
 * Prints figures of the house: how the code reads in numbers, `npm run house [-- ROOT…]`. A root is
 * another checkout to compare with, each a column of its own.
 */
import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import ts from 'typescript';
import { importCircles } from './check-imports.js';
import { root, sourceFiles } from './source-files.js';

/** Folders of TypeScript sources without tests. */
const folders = ['packages/torch/src/', 'packages/bantam/src/', 'bench/src/'];

/** @param {string} path */
function isTest(path) {
  return /\.test\.|\.test-|\/test-support\//.test(path);
}

/** @param {string} text */
function lineCount(text) {
  return text.split('\n').length - 1;
}

/**
 * Parsed sources below the folders, without tests.
 *
 * @param {string} folder root of the tree
 */
function readSources(folder) {
  return sourceFiles(['.ts'], folder)
    .filter((path) => folders.some((start) => path.startsWith(start)) && !isTest(path))
    .map((path) => {
      const text = readFileSync(join(folder, path), 'utf8');
      const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
      return { path, lines: lineCount(text), tree };
    });
}

/** @typedef {ReturnType<typeof readSources>} Sources */

/**
 * Nodes of all sources for which a test holds.
 *
 * @param {Sources} sources
 * @param {(node: ts.Node) => boolean} test
 */
function countNodes(sources, test) {
  let count = 0;
  const visit = (/** @type {ts.Node} */ node) => {
    if (test(node)) count += 1;
    ts.forEachChild(node, visit);
  };
  for (const { tree } of sources) visit(tree);
  return count;
}

/** `x as T`, without `as const`. @param {ts.Node} node */
function isCast(node) {
  return ts.isAsExpression(node) && node.type.getText() !== 'const';
}

/** `x.shape as …` @param {ts.Node} node */
function isShapeCast(node) {
  return isCast(node) && /\bshape\b[^(]*$/.test(/** @type {any} */ (node).expression.getText());
}

/** `list[i] ?? 0`, also through `?.` and `.at()`. @param {ts.Node} node */
function isIndexedDefault(node) {
  if (!ts.isBinaryExpression(node)) return false;
  if (node.operatorToken.kind !== ts.SyntaxKind.QuestionQuestionToken) return false;
  const { left, right } = node;
  const indexed =
    ts.isElementAccessExpression(left) ||
    (ts.isCallExpression(left) && /\.at$/.test(left.expression.getText()));
  return indexed && /^(-?[\d.e]+|''|""|\[\]|NaN|Infinity)$/.test(right.getText());
}

/**
 * Names that the package's index exports.
 *
 * @param {string} folder root of the tree
 */
function exportedNames(folder) {
  const index = join(folder, 'packages', 'bantam', 'src', 'index.ts');
  const program = ts.createProgram([index], {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    skipLibCheck: true,
    noEmit: true,
  });
  const source = program.getSourceFile(index);
  const checker = program.getTypeChecker();
  const symbol = source && checker.getSymbolAtLocation(source);
  return symbol ? checker.getExportsOfModule(symbol).length : 0;
}

/**
 * @param {string} folder root of the tree
 * @returns {[string, string | number][]}
 */
function figures(folder) {
  const sources = readSources(folder);
  const lines = sources.map((source) => source.lines);
  const circles = importCircles(folder);
  const tests = sourceFiles(['.ts'], folder).filter((path) => isTest(path));
  return [
    ['source files', sources.length],
    ['lines', lines.reduce((sum, each) => sum + each, 0)],
    ['mean lines of a file', Math.round(lines.reduce((sum, each) => sum + each, 0) / lines.length)],
    ['files below 40 lines', lines.filter((each) => each < 40).length],
    [
      '… index.ts left out',
      sources.filter(({ path, lines: each }) => each < 40 && !path.endsWith('/index.ts')).length,
    ],
    ['files above 450 lines', lines.filter((each) => each > 450).length],
    ['longest file', Math.max(...lines)],
    ['exported names of bantam', exportedNames(folder)],
    ['import circles', circles.length],
    ['files in circles', circles.flat().length],
    ['casts (as)', countNodes(sources, isCast)],
    ['casts of shapes', countNodes(sources, isShapeCast)],
    ['defaults on indexed access', countNodes(sources, isIndexedDefault)],
    ['test files', tests.length],
  ];
}

const roots = [...process.argv.slice(2).map((path) => resolve(path)), root];
const columns = roots.map((folder) => new Map(figures(folder)));
const names = [...columns[0].keys()];
const cell = (/** @type {string | number | undefined} */ value) => String(value).padStart(8);
console.log(`| | ${roots.map((folder) => basename(folder)).join(' | ')} |`);
console.log(`| --- |${roots.map(() => ' ---: |').join('')}`);
for (const name of names) {
  console.log(`| ${name} | ${columns.map((column) => cell(column.get(name))).join(' | ')} |`);
}
