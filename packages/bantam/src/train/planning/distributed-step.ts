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
  /** Route of a collective's messages: down a tree, the default, or along a ring, as Gloo's. */
  readonly route?: 'ring' | 'tree';
  /** Bytes of the segments in which a ring sums, of which two are under way at a time. Default: 1 MiB, Gloo's. */
  readonly segmentBytes?: number;
  /** Seconds of a step that every device takes whatever its samples: the optimizer, starts of kernels. Default 0. */
  readonly stepSeconds?: number;
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
  /**
   * Losses of the whole batch in every process, which is what Bantam computes; or of a process's own rows, for
   * which the gradients of features are sent as well (OpenCLIP's local loss). Default `whole`.
   */
  readonly losses?: 'whole' | 'local';
  /** Gradients are summed beside the last backward pass, as Bantam and PyTorch's DDP do. Default true. */
  readonly overlap?: boolean;
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
  /** Collectives, each of which waits for the one before; a sum is of all gradients, or small. */
  readonly collectives: {
    readonly gathers: number;
    readonly sums: number;
    readonly broadcasts: number;
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
  /** The products' time if all were divided, over the time: 1 if devices wait for nothing, and none does what another does too. */
  readonly efficiency: number;
}

/** Bytes of weights, gradients, features and similarities, which are float32. */
const FLOAT = 4;

/** The most similarities at a time; larger batches' losses go through them in parts (`clipLoss`). */
const SIMILARITIES = 2048 ** 2;

const MEBIBYTE = 2 ** 20;

/** Bytes of a bucket of gradients, as PyTorch's DDP has them. */
const BUCKET = 25 * MEBIBYTE;

/**
 * Gathers of a step: what the samples are and what rank 0 orders, each as a length and a text, and both
 * features.
 */
const GATHERS = 6;

/**
 * Costs of a training step with one batch over N devices, each b = B / N samples, features gathered from
 * all, bf16 products and float32 weights, AdamW:
 *
 * - FLOPs of the towers: 3·F·b for F FLOPs of a sample's forward pass; 4·F·b with a gradient cache, which
 *   computes features twice (Gao et al. 2021). Similarities of the whole batch: 3·2·B²·d, one product
 *   forwards and two backwards; 4·2·B²·d in parts, which are computed twice. Local losses: 3·2·2·b·B·d, as
 *   rows and columns are other products.
 * - Sent by a ring (Patarasuk and Yuan 2009): (N−1)/N of the 2·B·d numbers for gathering the features, for
 *   local losses as many for adding their gradients up, and 2·(N−1)/N of all gradients for their sum.
 * - Collectives: the features', the sum of all gradients, and small ones: what the samples are, which gradients there
 *   are, whether all are finite, rank 0's clock, its orders for the next step.
 * - Memory: 4 bytes a number; two moments; activations of a micro-batch, half of those in float32
 *   ({@link activationBytes}); two matrices of at most 2048² similarities and their gradients.
 * - Seconds: FLOPs over what the device reaches, and `stepSeconds`; bytes over the slowest path that a ring
 *   takes; and {@link latenciesOf} collectives. With overlap the gradients' sum runs beside the last micro-batch's
 *   backward pass, which is two thirds of its time, all but its last bucket.
 *
 * Left out: data, and devices that wait for the slowest.
 */
export function distributedStep(work: DistributedWork, cluster: DeviceCluster): DistributedStep {
  const { model, batchSize, captionTokens = model.text.contextLength, losses = 'whole' } = work;
  const { devices } = cluster;
  const samples = Math.ceil(batchSize / devices);
  const microBatch = Math.min(samples, work.microBatch ?? samples);
  const parameters = parameterCount(model).total;
  const forward = sum({ ...modelFlops(model, { captionTokens }) });
  const passes = microBatch < samples ? 4 : 3;
  const rows = losses === 'whole' ? batchSize : samples;
  const flops = {
    towers: passes * forward * samples,
    similarities: similarityProducts(rows, batchSize) * 2 * rows * batchSize * model.embedDim,
  };
  const others = (devices - 1) / devices;
  const features = 2 * batchSize * model.embedDim * FLOAT;
  const gradients = parameters * FLOAT;
  const sent = {
    features: others * features,
    featureGradients: losses === 'whole' ? 0 : others * features,
    gradients: 2 * others * gradients,
  };
  const localGathers = losses === 'whole' ? 0 : 2;
  const collectives =
    devices === 1
      ? { gathers: 0, sums: 0, broadcasts: 0 }
      : { gathers: GATHERS + localGathers, sums: 3, broadcasts: 1 };
  const moments = 2 * gradients;
  const memory = {
    weights: gradients,
    gradients,
    optimizer: work.shardedOptimizer === true ? moments / devices : moments,
    activations: (sum({ ...activationBytes(model, { captionTokens }) }) / 2) * microBatch,
    features: 2 * features,
    similarities: 2 * 2 * Math.min(rows * batchSize, SIMILARITIES) * FLOAT,
  };
  const divided =
    similarityProducts(batchSize, batchSize) * 2 * batchSize * samples * model.embedDim;
  const least = (flops.towers + divided) / (cluster.peakFlops * cluster.utilization);
  const backward = 2 * forward * microBatch;
  const hidden = work.overlap === false ? 0 : backward;
  const seconds = secondsOf({ flops, sent, collectives, hidden }, cluster);
  return {
    ...{ samples, microBatch, flops, sent, collectives, seconds },
    memory: { ...memory, total: sum(memory) },
    efficiency: least / seconds.total,
  };
}

/** Products of all rows with all columns that the losses and their gradients take. */
function similarityProducts(rows: number, columns: number): number {
  if (rows < columns) return 2 * 3;
  return rows * columns > SIMILARITIES ? 4 : 3;
}

interface Costs extends Pick<DistributedStep, 'flops' | 'sent' | 'collectives'> {
  /** FLOPs beside which gradients are sent. */
  readonly hidden: number;
}

function secondsOf(
  { flops, sent, collectives, hidden }: Costs,
  { devices, devicesPerMachine, peakFlops, utilization, stepSeconds = 0, ...paths }: DeviceCluster,
): DistributedStep['seconds'] {
  const rate = peakFlops * utilization;
  const compute = sum({ ...flops }) / rate + stepSeconds;
  if (devices === 1) return { compute, communication: 0, exposed: 0, total: compute };
  const bytesPerSecond =
    devices <= devicesPerMachine ? paths.linkRate : Math.min(paths.linkRate, paths.networkRate);
  const features = (sent.features + sent.featureGradients) / bytesPerSecond;
  const gradients = sent.gradients / bytesPerSecond;
  // The first layers' bucket is sent after the backward pass.
  const buckets = (sent.gradients * devices) / (2 * (devices - 1)) / BUCKET;
  const last = gradients / Math.max(1, buckets);
  const left = hidden === 0 ? gradients : Math.max(last, gradients - hidden / rate);
  const waiting = latenciesOf({ sent, collectives }, { devices, ...paths }) * paths.latency;
  const exposed = features + left + waiting;
  const communication = features + gradients + waiting;
  return { compute, communication, exposed, total: compute + exposed };
}

/**
 * Latencies that a step's collectives wait for, one after the other.
 *
 * Down a tree: ⌈log₂N⌉ for each, a sum twice. Along a ring a message takes two, as the receiver first says that
 * it is ready (Gloo): N − 1 messages for a gather, ⌈log₂N⌉ for a broadcast. The sum of a number passes the ring
 * twice, and is awaited. The sum of a bucket of gradients passes it twice in M segments, M·(N−1)/N of them through
 * each device, two at a time; buckets are under way together.
 */
function latenciesOf(
  { sent, collectives: { gathers, sums, broadcasts } }: Pick<Costs, 'sent' | 'collectives'>,
  {
    devices,
    route = 'tree',
    segmentBytes = MEBIBYTE,
  }: Pick<DeviceCluster, 'devices' | 'route' | 'segmentBytes'>,
): number {
  const deep = Math.ceil(Math.log2(devices));
  if (route === 'tree') return (gathers + 2 * sums + broadcasts) * deep;
  const hops = devices - 1;
  const gradients = (sent.gradients * devices) / (2 * hops);
  const bucket = Math.min(gradients, BUCKET);
  const perDevice = Math.max(2, Math.ceil(bucket / segmentBytes / devices));
  const segments = 2 * 2 * Math.ceil((perDevice * hops) / 2);
  return 2 * gathers * hops + 2 * (sums - 1) * hops + 2 * broadcasts * deep + segments;
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
