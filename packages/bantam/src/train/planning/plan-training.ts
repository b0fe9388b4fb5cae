import { onDevice, RandomStreams } from '@bantam/torch';
import { createModel } from '../../models/index.js';
import { parseBudget } from '../config/budget.js';
import type { TrainingContext } from '../loop/context.js';
import { describeAll, groupParameters, trainedModules } from '../loop/optimizer.js';
import { TrainableWeights } from '../loop/trainable-weights.js';
import { dryRunsOf, lacksMemory } from './memory-limit.js';
import { measureTimes, type MeasureTimesOptions } from './measure-time.js';
import { MemoryPlanner, type MemoryPlan } from './plan-memory.js';
import { planTime, type TimePlan } from './plan-time.js';

/** Predicted memory and time of a training. */
export interface TrainingPlan {
  readonly memory: MemoryPlan;
  /** Null if it does not fit the memory, so that no step of it can be measured. */
  readonly time: TimePlan | null;
  /** The optimizer's parameter groups, printable. */
  readonly groups: string;
}

/** Plans a training: its memory, and its time if that fits; of what remains after `spent`. */
export async function planTraining(
  context: TrainingContext,
  options: MeasureTimesOptions = {},
): Promise<TrainingPlan> {
  const { config } = context;
  const planner = await MemoryPlanner.create(config, context);
  const memory = planner.plan({ dryRuns: dryRunsOf(config, context) });
  const groups = plannedGroups(context);
  if (lacksMemory(memory, context)) return { memory, time: null, groups };
  const costs = await measureTimes(config, context, options);
  return { memory, time: planTime(parseBudget(config.budget), costs), groups };
}

/** The groups that the trainer will make, of a model without memory. */
function plannedGroups({ config, strategy }: TrainingContext): string {
  return onDevice('meta', () => {
    using model = createModel(config.model, { generator: null });
    new TrainableWeights(model, { config, strategy, streams: new RandomStreams({ seed: 0 }) });
    const groups = groupParameters(model, strategy, config.train);
    return describeAll(groups, trainedModules(model, strategy)).text;
  });
}
