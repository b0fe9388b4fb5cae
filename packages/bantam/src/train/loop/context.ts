import type { Device } from '@bantam/torch';
import type { HeldOutSplit, Source } from '../../data/index.js';
import type { Validator } from '../../eval/index.js';
import type { LoadedModel } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import type { TrainConfig } from '../config/config.js';
import type { CountedCaption } from '../config/tokenizer.js';
import type { TrainEvent } from '../monitor/events.js';
import type { Strategy } from '../strategies/strategy.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';
import type { World } from '../world/world.js';
import type { InitialModels } from './initial-weights.js';

/** Everything that a training works with: made once, handed on whole, freed together. */
export interface TrainingContext extends Disposable {
  /** Resolved completely, and frozen. */
  readonly config: TrainConfig;
  /** The training data, without what is held out. */
  readonly source: Source;
  /** The whole data and what is held out of them; null: nothing. */
  readonly heldOut: HeldOutSplit | null;
  readonly tokenizer: Tokenizer;
  /** The longest caption of the source, by which memory and time are planned. */
  readonly longest: CountedCaption;
  readonly strategy: Strategy;
  /** The strategy's teachers. */
  readonly models: readonly LoadedModel[];
  /** The strategy's reinforced data set. */
  readonly reinforced: ReinforcedSet | null;
  /** Freed as soon as their weights are copied; null for a run that resumes. */
  readonly initial: InitialModels | null;
  readonly validator: Validator | null;
  /** The checkpoint to resume from; null: the run starts. */
  readonly checkpoint: string | null;
  /** The device of model, optimizer and batches. */
  readonly device: Device;
  /** The processes that train together; null: this one alone. */
  readonly world: World | null;
  /** Stops training after the current step, with a checkpoint. */
  readonly signal: AbortSignal | undefined;
  readonly emit: (event: TrainEvent) => void;
}
