import {
  activationBytes,
  modelFlops,
  parameterCount,
  type ModelConfig,
} from '../../models/index.js';

/** Devices that train one model together, and the paths between them. */
export interface DeviceCluster {
  readonly devices: number;
  /** Devices of one machine. */
  readonly devicesPerMachine: number;
  /** FLOPs a second of a device's products at their peak. */
  readonly peakFlops: number;
  /** Fraction of the peak that a step's products reach. */
  readonly utilization: number;
  /** Memory of a device, in bytes. */
  readonly memoryBytes: number;
  /** Bytes a second that a device sends to another one of its machine. */
  readonly linkRate: number;
  /** Bytes a second that a device sends to another machine. */
  readonly networkRate: number;
  /** Seconds from the sending of a message to its arrival, its bytes apart. */
  readonly latency: number;
}

/** A step whose batch is spread over a {@link DeviceCluster}. */
export interface DistributedWork {
  readonly model: ModelConfig;
  /** Samples of the whole batch, contrasted with each other. */
  readonly batchSize: number;
  /** Samples that a device computes at once; fewer than it has: gradient cache. Default: all that it has. */
  readonly microBatch?: number;
  /** Tokens of a caption. Default: the context. */
  readonly captionTokens?: number;
  /** Keep the optimizer's moments in parts, one on each device (ZeRO-1, Rajbhandari et al. 2020). */
  readonly shardedOptimizer?: boolean;
}

/** Costs of a step, for each device. */
export interface DistributedStep {
  readonly samples: number;
  readonly microBatch: number;
  /** FLOPs of the towers and of the similarities. */
  readonly flops: { readonly towers: number; readonly similarities: number };
  /** Bytes that a device sends: features, their gradients, and gradients of the weights. */
  readonly sent: {
    readonly features: number;
    readonly featureGradients: number;
    readonly gradients: number;
  };
  /** Bytes of memory. */
  readonly memory: {
    readonly weights: number;
    readonly gradients: number;
    readonly optimizer: number;
    readonly activations: number;
    readonly features: number;
    readonly similarities: number;
    readonly total: number;
  };
  /** Seconds: of products, of sending, of sending that no product hides, and of the step. */
  readonly seconds: {
    readonly compute: number;
    readonly communication: number;
    readonly exposed: number;
    readonly total: number;
  };
  /** The time without communication, over the time: 1 if the devices wait for nothing. */
  readonly efficiency: number;
}

/** Bytes of weights, gradients, features and similarities, which are float32. */
const FLOAT = 4;

/** The most similarities at a time; larger batches' losses go through them in parts (`clipLoss`). */
const SIMILARITIES = 2048 ** 2;

/** Bytes of a bucket of gradients, which is sent while earlier layers' are computed (PyTorch's DDP). */
const BUCKET = 25 * 2 ** 20;

/**
 * Costs of a training step with one batch over N devices (each b = B / N samples), features gathered from
 * all, similarities of the own rows alone (OpenCLIP's local loss with gathered gradients), bf16 products
 * and float32 weights, AdamW:
 *
 * - FLOPs of the towers: 3·F·b for F FLOPs of a sample's forward pass; 4·F·b with a gradient cache, which
 *   computes features twice (Gao et al. 2021). Similarities: 3·2·2·b·B·d, two products of b rows of d
 *   with B columns.
 * - Sent by a ring (Patarasuk and Yuan 2009): (N−1)/N of the 2·B·d numbers for gathering the features, as
 *   many for adding their gradients up, and 2·(N−1)/N of all gradients for their sum. Sharding the
 *   optimizer sends as much: a reduce-scatter and an all-gather.
 * - Memory: 4 bytes a number; two moments; activations of a micro-batch, half of those in float32
 *   ({@link activationBytes}); two matrices of at most 2048² similarities and their gradients.
 * - Seconds: FLOPs over what the device reaches; bytes over the slowest path that a ring takes, and the
 *   latency log₂N times for each message. The gradients' sum runs beside the last micro-batch's
 *   backward pass, which is two thirds of its time, all but its last bucket.
 *
 * Left out: the optimizer's own time, launches of kernels, data, and devices that wait for the slowest.
 */
export function distributedStep(work: DistributedWork, cluster: DeviceCluster): DistributedStep {
  const { model, batchSize, captionTokens = model.text.contextLength } = work;
  const { devices } = cluster;
  const samples = Math.ceil(batchSize / devices);
  const microBatch = Math.min(samples, work.microBatch ?? samples);
  const parameters = parameterCount(model).total;
  const forward = sum({ ...modelFlops(model, { captionTokens }) });
  const passes = microBatch < samples ? 4 : 3;
  const flops = {
    towers: passes * forward * samples,
    similarities: 3 * 2 * 2 * samples * batchSize * model.embedDim,
  };
  const others = (devices - 1) / devices;
  const features = 2 * batchSize * model.embedDim * FLOAT;
  const gradients = parameters * FLOAT;
  const sent = {
    features: others * features,
    featureGradients: others * features,
    gradients: 2 * others * gradients,
  };
  const moments = 2 * gradients;
  const memory = {
    weights: gradients,
    gradients,
    optimizer: work.shardedOptimizer === true ? moments / devices : moments,
    activations: (sum({ ...activationBytes(model, { captionTokens }) }) / 2) * microBatch,
    features: 2 * features,
    similarities: 2 * 2 * Math.min(samples * batchSize, SIMILARITIES) * FLOAT,
  };
  const seconds = secondsOf({ flops, sent, forward, microBatch }, cluster);
  return {
    ...{ samples, microBatch, flops, sent, seconds },
    memory: { ...memory, total: sum(memory) },
    efficiency: seconds.compute / seconds.total,
  };
}

interface Costs extends Pick<DistributedStep, 'flops' | 'sent' | 'microBatch'> {
  /** FLOPs of a sample's forward pass. */
  readonly forward: number;
}

function secondsOf(
  { flops, sent, forward, microBatch }: Costs,
  { devices, devicesPerMachine, peakFlops, utilization, ...paths }: DeviceCluster,
): DistributedStep['seconds'] {
  const rate = peakFlops * utilization;
  const compute = sum({ ...flops }) / rate;
  if (devices === 1) return { compute, communication: 0, exposed: 0, total: compute };
  const bytesPerSecond =
    devices <= devicesPerMachine ? paths.linkRate : Math.min(paths.linkRate, paths.networkRate);
  const arrival = paths.latency * Math.ceil(Math.log2(devices));
  const sending = (bytes: number, messages: number) => bytes / bytesPerSecond + messages * arrival;
  // Both features in one message each, before and after the losses; nothing else can run meanwhile.
  const features = sending(sent.features + sent.featureGradients, 4);
  const buckets = Math.ceil(sent.gradients / (2 * BUCKET));
  const gradients = sending(sent.gradients, 2 * buckets);
  const last = gradients / buckets;
  const backward = (2 * forward * microBatch) / rate;
  const exposed = features + Math.max(last, gradients - backward);
  return { compute, communication: features + gradients, exposed, total: compute + exposed };
}

function sum(parts: Readonly<Record<string, number>>): number {
  return Object.values(parts).reduce((total, part) => total + part, 0);
}

/** The largest micro-batch, b over a power of two, whose step fits a device's memory; 0: not even one sample does. */
export function fittingMicroBatch(work: DistributedWork, cluster: DeviceCluster): number {
  const samples = Math.ceil(work.batchSize / cluster.devices);
  for (let microBatch = samples; microBatch >= 1; microBatch = Math.floor(microBatch / 2)) {
    const { memory } = distributedStep({ ...work, microBatch }, cluster);
    if (memory.total <= cluster.memoryBytes) return microBatch;
  }
  return 0;
}
