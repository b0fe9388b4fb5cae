import { formatStructure, onDevice, structureOf } from '@bantam/torch';
import { createModel } from '../clip.js';
import type { ModelConfig } from '../config.js';
import { activationBytes, type DryRunOptions } from './dry-run.js';
import { modelFlops, parameterCount, type ParameterCounts, type PerTower } from './flops.js';

/** What a model costs. */
export interface ModelSummary {
  /** Length of the features. */
  readonly embedDim: number;
  readonly parameters: ParameterCounts;
  /** Floating-point operations of a forward pass; see {@link modelFlops}. */
  readonly flops: PerTower;
  /** Bytes in float32 for each sample of a training batch; see {@link activationBytes}. */
  readonly activationBytes: PerTower;
}

/** What a model costs, without making it. */
export function summarizeModel(config: ModelConfig, options: DryRunOptions = {}): ModelSummary {
  return {
    embedDim: config.embedDim,
    parameters: parameterCount(config),
    flops: modelFlops(config, options),
    activationBytes: activationBytes(config, options),
  };
}

/** The parts of a model, a line each: name, class, parameters; {@link formatStructure}. */
export function formatModelStructure(
  config: ModelConfig,
  options: { depth?: number } = {},
): string[] {
  using model = onDevice('meta', () => createModel(config, { generator: null }));
  return formatStructure(structureOf(model), options);
}
