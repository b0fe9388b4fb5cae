/** Schemas of the groups of settings beside the strategy's. */
import * as v from 'valibot';
import type { DeepReadonly } from '../../base/readonly.js';
import {
  atLeast,
  count,
  described,
  flag,
  fraction,
  group,
  index,
  oneOf,
  positive,
  setting,
  text,
  unitInterval,
} from '../../base/schema.js';
import { sentencePieceWrappers, trainedVocabSize } from '../../text/index.js';

/**
 * Settings of training itself. The defaults suit small models on small data; the learning rate is that
 * of batch 256.
 */
export const trainSchema = group({
  batchSize: setting(count(), 256, 'Pairs that are contrasted with each other in one step.'),
  microBatch: setting(
    index(),
    0,
    'Samples that pass through the towers at once, a divisor of batchSize: a large batch on the memory of a small one, for one more forward pass. 0: the whole batch.',
  ),
  gradCheckpointing: setting(
    flag(),
    false,
    'Compute the activations of every block again in the backward pass instead of keeping them: the same step on less memory, for one more forward pass.',
  ),
  accumulate: setting(
    count(),
    1,
    'Batches whose gradients are averaged before a step of the optimizer.',
  ),
  lr: setting(
    atLeast(0),
    1e-3,
    'Peak learning rate. Default for a model in init.model: 1e-5, with LoRA 2e-4.',
  ),
  beta1: setting(fraction(), 0.9, 'β₁: decay of the first moment.'),
  beta2: setting(fraction(), 0.98, 'β₂: decay of the second moment.'),
  eps: setting(positive(), 1e-6, "ε in the denominator of AdamW's step."),
  optimizer: setting(oneOf('adamw', 'adafactor', 'lion'), 'adamw', 'Optimizer.'),
  shardOptimizer: setting(
    flag(),
    false,
    "Divide the optimizer's state among several processes, each of which keeps that of its parameters (ZeRO-1): less memory, the same weights.",
  ),
  weightDecay: setting(
    atLeast(0),
    0.2,
    'λ of θ ← θ − lr·λ·θ for weight matrices, the same for every optimizer; gains, biases and the temperature do not decay. Default for a model in init.model: 0.1, with LoRA 0.01.',
  ),
  layerDecay: setting(
    v.pipe(
      v.number('a number above 0 and at most 1'),
      v.gtValue(0, 'a number above 0 and at most 1'),
      v.maxValue(1, 'a number above 0 and at most 1'),
    ),
    1,
    'Learning rate of each layer, times that of the layer after it; 1: all alike.',
  ),
  freeze: setting(
    v.array(text(), 'a list of patterns such as ["image"]'),
    [],
    'Frozen parts: image or text for a tower, or patterns of the names of parameters.',
  ),
  schedule: setting(
    oneOf('cosine', 'linear', 'constant', 'rsqrt'),
    'cosine',
    'Schedule of the learning rate.',
  ),
  warmup: setting(
    unitInterval(),
    0.1,
    'Fraction of the budget over which the learning rate rises.',
  ),
  cooldown: setting(
    unitInterval(),
    0,
    'Fraction of the budget over which the learning rate falls to zero at the end (constant and rsqrt).',
  ),
  clipNorm: setting(atLeast(0), 1, 'Norm that the gradient is clipped to; 0: no clipping.'),
  ema: setting(
    fraction(),
    0,
    'Decay of the moving average of the weights that is evaluated and saved; 0: none.',
  ),
  precision: setting(
    v.picklist(
      ['auto', 'fp64', 'fp32', 'bf16', 'fp16'],
      '"auto" or "fp64" or "fp32" or "bf16" or "fp16" (int8 is for inference: bantam eval and bantam embed)',
    ),
    'auto',
    'auto is bf16 on CUDA, and on the CPU if it has instructions for its products, else fp32. fp16 scales the loss so that small gradients are kept. fp64 has weights, gradients and moments in double, for checks of numbers: twice the memory, and slow.',
  ),
  maxSkips: setting(
    count(),
    3,
    "Steps in a row without a finite loss after which the last checkpoint's weights are restored.",
  ),
  checkpointMinutes: setting(positive(), 5, 'Minutes between checkpoints.'),
  keepCheckpoints: setting(count(), 2, 'Checkpoints kept, the newest ones.'),
  workers: setting(index(), 1, 'Threads that decode and augment images.'),
  memoryLimit: setting(
    atLeast(0),
    0,
    'The most memory that the run may be planned to take, in GB; 0: all that the machine has.',
  ),
  timeLimit: setting(
    atLeast(0),
    0,
    'The longest that the run may be planned to take, in hours; 0: no limit.',
  ),
});

/** Settings of the tokenizer; the defaults suit short captions. */
export const tokenizerSchema = group({
  path: setting(
    text(),
    '',
    "A tokenizer.json, a .model file of SentencePiece, a folder of either, or CLIP's vocabulary file; empty: train one on the captions.",
  ),
  wrapper: setting(
    oneOf('auto', ...sentencePieceWrappers),
    'auto',
    'Special ids around those of a .model file; auto: by the files beside it.',
  ),
  vocabSize: setting(count(), trainedVocabSize, 'Entries of a trained vocabulary.'),
  contextLength: setting(count(), 32, 'The most tokens of a caption.'),
});

const everyWanted = 'a fraction of the budget above 0 and at most 1';

/** Settings of validation while the model trains. */
export const validationSchema = group({
  data: setting(
    text(),
    '',
    'Data to validate on, as --data names them. held-out: a part of the training data; none: no validation; empty: held-out if the run passes over 1,000 or more records 4 times or more, else none.',
  ),
  holdOut: setting(
    fraction(),
    0,
    'Fraction of the records to hold out; 0: 5 %, but 100 to 1,000 records, and 10 % of fewer than 1,000.',
  ),
  metric: setting(text(), 'image_retrieval_recall@1', 'Metric, as evaluation names it.'),
  every: setting(
    v.pipe(v.number(everyWanted), v.gtValue(0, everyWanted), v.maxValue(1, everyWanted)),
    0.1,
    'Fraction of the budget from one validation to the next.',
  ),
  patience: setting(
    index(),
    0,
    'Validations without a better value after which training ends; 0: it never ends early.',
  ),
});

/** Trained models that a run starts from. */
export const initSchema = group({
  model: setting(
    text(),
    '',
    'Model directory of the initial weights and the tokenizer; empty: random weights.',
  ),
  image: setting(
    text(),
    '',
    "Model directory of the image tower's initial weights; takes precedence over init.model.",
  ),
  freezeInherited: setting(
    flag(),
    false,
    'Freeze what init.model has inherited from its teacher (bantam models inherit).',
  ),
});

const threeNumbers = 'a list of three numbers';
const triple = v.tuple(
  [v.number(threeNumbers), v.number(threeNumbers), v.number(threeNumbers)],
  threeNumbers,
);

const preprocessEntries = {
  mean: described(triple, 'Mean of each channel, of values in 0 … 1.'),
  std: described(triple, 'Standard deviation of each channel, of values in 0 … 1.'),
  interpolation: described(oneOf('bicubic', 'bilinear'), 'Interpolation of resizing.'),
  antialias: described(flag(), 'Widen the filter when shrinking, as PIL always does.'),
  resizeMode: described(
    oneOf('shortest', 'squash'),
    'shortest: shortest side, then centre crop. squash: both sides.',
  ),
};

/** Changes of the model's own preprocessing. The image size is the model's. */
export const preprocessSchema = group({
  mean: v.exactOptional(preprocessEntries.mean),
  std: v.exactOptional(preprocessEntries.std),
  interpolation: v.exactOptional(preprocessEntries.interpolation),
  antialias: v.exactOptional(preprocessEntries.antialias),
  resizeMode: v.exactOptional(preprocessEntries.resizeMode),
});

/** The whole preprocessing, as a run's configuration keeps it. */
export const savedPreprocessSchema = group({ size: count(), ...preprocessEntries });

/** Settings of training itself, absent ones by their defaults. */
export type TrainInput = DeepReadonly<v.InferInput<typeof trainSchema>>;
/** Settings of training itself. */
export type TrainSettings = DeepReadonly<v.InferOutput<typeof trainSchema>>;
/** Settings of the tokenizer, absent ones by their defaults. */
export type TokenizerInput = DeepReadonly<v.InferInput<typeof tokenizerSchema>>;
/** Settings of the tokenizer. */
export type TokenizerSettings = DeepReadonly<v.InferOutput<typeof tokenizerSchema>>;
/** Settings of validation. */
export type ValidationSettings = DeepReadonly<v.InferOutput<typeof validationSchema>>;
/** Trained models that a run starts from. */
export type InitSettings = DeepReadonly<v.InferOutput<typeof initSchema>>;
