import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { at } from '@bantam/torch';
import * as v from 'valibot';
import { modelConfig, withChanges, type ModelConfig } from '../models/index.js';
import type { RunOptions, TrainConfig } from '../train/config/config.js';
import { resolveConfig } from '../train/config/resolve.js';
import type { TrainEvent, TrainResult } from '../train/monitor/events.js';
import { writeImages } from './image-folders.js';
import {
  strategySchema,
  type StrategyConfig,
  type StrategyInput,
} from '../train/strategies/index.js';
import { resumeTraining, train, type TrainOptions } from '../train/train.js';

/** A model that trains in milliseconds. */
export const tiny: ModelConfig = modelConfig('ViT-Pico-8-64', {
  embedDim: 16,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 1 },
});

/** The same with a decoder that writes captions. */
export const tinyCoca: ModelConfig = withChanges(tiny, {
  customText: true,
  vision: { attentionalPool: true, attnPoolerQueries: 5, attnPoolerHeads: 2 },
  text: { embedCls: true },
  decoder: { layers: 1, heads: 2 },
});

/** A strategy with all of its settings. */
export function strategyOf(strategy: StrategyInput): StrategyConfig {
  return v.parse(strategySchema, strategy);
}

/** A folder of 20 small images in four classes, and the runs that train on them. */
export class TinyRuns {
  #folder = '';
  #data = '';

  async make(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), 'bantam-runs-'));
    await writeImages(this.path('images'), 5);
    this.#data = `folder:${this.path('images')}`;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  path(...names: string[]): string {
    return join(this.#folder, ...names);
  }

  /** A run of twelve steps of eight samples, two in an epoch, in the folder of that name. */
  options(name: string, changes: Partial<TrainOptions> = {}): TrainOptions {
    const { train, tokenizer } = this.#settings(changes);
    return {
      model: tiny,
      data: this.#data,
      out: this.path(name),
      budget: '96samples',
      ...changes,
      train,
      tokenizer,
    };
  }

  /** The resolved configuration of such a run. */
  config(changes: Partial<RunOptions> = {}): TrainConfig {
    const settings = this.#settings(changes);
    const run = { model: tiny, data: this.#data, budget: '96samples', ...changes, ...settings };
    return resolveConfig(run);
  }

  #settings({ train, tokenizer }: Partial<RunOptions>) {
    return {
      train: { batchSize: 8, workers: 0, precision: 'fp32', ...train },
      tokenizer: { vocabSize: 600, contextLength: 16, ...tokenizer },
    } as const;
  }

  train(name: string, changes: Partial<TrainOptions> = {}): Promise<TrainResult> {
    return train(this.options(name, changes));
  }

  /** Trains, interrupted after each of these steps and resumed. */
  async trainInParts(
    name: string,
    changes: Partial<TrainOptions>,
    stops: readonly number[],
  ): Promise<TrainResult> {
    let started = false;
    for (const stop of [...stops, Infinity]) {
      const controller = new AbortController();
      const control = {
        signal: controller.signal,
        ...(changes.openValidator !== undefined && { openValidator: changes.openValidator }),
        onEvent: (event: TrainEvent): void => {
          if (event.kind === 'step' && event.step === stop) controller.abort();
        },
      };
      const result = started
        ? await resumeTraining(this.path(name), control)
        : await this.train(name, { ...changes, ...control });
      started = true;
      if (!result.interrupted) return result;
    }
    throw new RangeError('The last part was interrupted.');
  }

  /** Bytes of the weights that a run ended with. */
  weights(name: string): Buffer {
    return readFileSync(this.path(name, 'model', 'open_clip_model.safetensors'));
  }

  /** Bytes of every part of a run's last checkpoint: model, optimizer, strategy. */
  checkpoint(name: string): Map<string, Buffer> {
    const checkpoints = this.path(name, 'checkpoints');
    const last = at(readdirSync(checkpoints).sort(), -1);
    const files = readdirSync(join(checkpoints, last)).filter((file) =>
      file.includes('safetensors'),
    );
    return new Map(files.map((file) => [file, readFileSync(join(checkpoints, last, file))]));
  }
}
