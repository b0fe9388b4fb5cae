import type { ValidationRow } from '../run-dir/metrics.js';
import type { ValidationSummary } from './overfitting.js';

/** An event of a running training. */
export type TrainEvent =
  | {
      kind: 'start';
      run: string;
      model: string;
      parameters: number;
      /** Samples in the source. */
      samples: number;
      device: string;
      /** `fp64`, `fp32`, `bf16` or `fp16`. */
      precision: string;
      batchSize: number;
      budget: string;
      /** The optimizer's parameter groups, printable. */
      groups: string;
      /** True if all parameters train, at one learning rate: groups then differ in weight decay alone. */
      isUniform: boolean;
    }
  | {
      kind: 'step';
      step: number;
      /** Samples seen. */
      samples: number;
      epoch: number;
      loss: number;
      samplesPerSecond: number;
      /** Fraction of the time spent waiting for data, 0 … 1. */
      dataWait: number;
      /** Fraction of the budget used, 0 … 1. */
      progress: number;
      /** Seconds to the end of the budget; null until the pace of the run is known. */
      etaSeconds: number | null;
    }
  /** Progress of work before training, such as the features of a locked tower; often. */
  | { kind: 'preparing'; message: string }
  | { kind: 'checkpoint'; path: string; step: number }
  /** Progress of a validation; often. */
  | { kind: 'validating'; message: string }
  | ({ kind: 'validation' } & ValidationRow)
  | { kind: 'note'; message: string };

/** Result of a training run. */
export interface TrainResult {
  /** The run directory. */
  run: string;
  /** The model directory; absent if the run was interrupted. */
  model?: string;
  steps: number;
  samples: number;
  /** FLOPs of the forward and backward passes, as budgets count them. */
  flops: number;
  /** Training time, set-up and saving left out. */
  seconds: number;
  /** Mean loss of the last steps. */
  loss: number;
  interrupted: boolean;
  /** The best validation, whose weights {@link model} has; absent if there was none. */
  validation?: ValidationRow;
  /** The best and the last validation compared; absent with fewer than two. */
  validations?: ValidationSummary;
  /** True if validations without a better value ended it before its budget was used. */
  stoppedEarly: boolean;
  /** Broken samples that were skipped; `quarantine.jsonl` names them. */
  quarantined: number;
  /** Steps that were skipped as loss or gradient were not finite; `non-finite.jsonl` names them. */
  skipped: number;
}
