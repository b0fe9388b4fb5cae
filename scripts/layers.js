/**
 * The layers of `packages/bantam/src` from the bottom up: each imports only from those before it.
 * The linter enforces this list, and the table in docs/architecture.md is made from it.
 *
 * @type {readonly { readonly folder: string, readonly holds: string }[]}
 */
export const layers = [
  {
    folder: 'base',
    holds: 'errors, schemas, JSON files, suggestions for mistyped names, precision',
  },
  { folder: 'text', holds: 'tokenizers: load, train, encode' },
  {
    folder: 'models',
    holds: 'configurations and presets, towers, CLIP, checkpoint formats, preprocessing, surgery',
  },
  {
    folder: 'losses',
    holds:
      'functions of features: contrastive, sigmoid, self-supervised, global, distillation, matching',
  },
  { folder: 'data', holds: 'sources, decoding, augmentation, batches' },
  { folder: 'eval', holds: 'zero-shot classification, retrieval, embedding' },
  {
    folder: 'search',
    holds: 'collections of vectors on disk, exact and approximate search, queries, duplicates',
  },
  { folder: 'export', holds: 'models as graphs of ONNX, and web pages of them' },
  { folder: 'captioning', holds: 'captions written by models' },
  {
    folder: 'scoring',
    holds: 'scores of samples: similarity, negCLIPLoss, NormSim, near-duplicates',
  },
  {
    folder: 'train',
    holds: 'configuration, strategies, trainer, budgets, plans, checkpoints, run directories',
  },
  { folder: 'machine', holds: 'what this computer is and how fast it multiplies matrices' },
  {
    folder: 'study',
    holds: 'studies: arms at equal cost, their runs, statistics and fits',
  },
  { folder: 'report', holds: 'HTML reports' },
  { folder: 'quickstart', holds: 'data, training, evaluation and report in one call' },
  { folder: 'serve', holds: 'the HTTP server: embeddings, classification, search' },
  { folder: 'cli', holds: 'commands: they parse, call the library, print' },
];
