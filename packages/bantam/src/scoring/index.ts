/**
 * Scores of samples: similarity, negCLIPLoss, NormSim, near-duplicates, facts of captions and
 * images.
 */
export { groupByEmbedding, type EmbeddingDuplicatesOptions } from './embedding-duplicates.js';
export {
  negClipLoss,
  type NegClipLossOptions,
  type EmbeddedPairs,
  type ReadPairs,
} from './neg-clip-loss.js';
export { NormSimTarget, type NormSimOrder } from './norm-sim.js';
export {
  scoreSource,
  type ScoreSourceOptions,
  type ScoreSummary,
  type ScoringProgress,
} from './score-source.js';
export {
  loadScoringModel,
  scorers,
  type ScorerName,
  type ScorerOptions,
  type ScoringModel,
} from './scorers.js';
