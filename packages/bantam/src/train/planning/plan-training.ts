import { parseBudget, type Spent } from '../config/budget.js';
import type { TrainConfig } from '../config/config.js';
import { availableBytes, rehearsesOf } from './memory-limit.js';
import { measureTimes } from './measure-time.js';
import { MemoryPlanner, type MemoryPlan } from './plan-memory.js';
import { planTime, type TimePlan } from './plan-time.js';
import type { PlanOptions } from './dummy-data.js';

/** What a training is predicted to take. */
export interface TrainingPlan {
  readonly memory: MemoryPlan;
  /** Null where it does not fit the memory, so that no step of it can be measured. */
  readonly time: TimePlan | null;
}

/** Plans a training: its memory, and its time where that fits; from `spent` on where it has begun. */
export async function planTraining(
  config: TrainConfig,
  options: PlanOptions,
  spent?: Spent,
): Promise<TrainingPlan> {
  const planner = await MemoryPlanner.create(config, options);
  const memory = planner.plan({ rehearses: rehearsesOf(config, options) });
  if (memory.total > availableBytes(config.train)) return { memory, time: null };
  const costs = await measureTimes(config, options, spent);
  return { memory, time: planTime(parseBudget(config.budget), costs) };
}
