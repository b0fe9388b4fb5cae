/** Scores and subsets of data: pure functions of records and scores. */
export { scoreAgreement, rocAuc, type ScoreAgreement } from './agreement.js';
export {
  balanceClasses,
  captionProbabilities,
  captionWords,
  EntryMatcher,
  sampleByProbability,
  type CaptionBalance,
  type ClassBalanceOptions,
} from './balance.js';
export {
  captionFacts,
  imageFacts,
  loadLanguageDetector,
  type CaptionFacts,
  type ImageFacts,
  type LanguageDetector,
} from './caption-facts.js';
export { comparisonOperators, type Criterion, type CriterionInput } from './criteria.js';
export {
  hasOwnCaptions,
  heldOutKeys,
  splitByKeys,
  type HeldOutSplit,
  type HoldOutOptions,
} from './hold-out.js';
export { uniformOfKey, type KeyHash } from './key-hash.js';
export { bestOfGroups, groupByHash, groupByLeader, mostHashDistance } from './near-duplicates.js';
export { perceptualHash } from './perceptual-hash.js';
export { Pool, SourceDigest, type Column, type ScoreTables } from './pool.js';
export {
  agreedScore,
  dataCompThreshold,
  percentileRanks,
  topFraction,
  type TieRule,
  type TopOptions,
} from './ranking.js';
export {
  readScores,
  scanScores,
  type ScoreHeader,
  type ScoreRow,
  type ScoreTable,
  type ScoreValue,
} from './score-file.js';
export { selectSubset, type SelectOptions, type Subset } from './select.js';
export { readSubset, writeSubset, type SubsetFile, type SubsetHeader } from './subset-file.js';
