import { TorchError } from '../errors.js';

/** How the learning rate runs over a training; JSON-serialisable. */
export interface ScheduleOptions {
  /** The course between warm-up and cooldown. */
  kind: 'cosine' | 'linear' | 'constant' | 'rsqrt';
  /** Number of steps in all. */
  total: number;
  /** Steps of warm-up at the start. Default 0. */
  warmup?: number;
  /** Steps of cooldown at the end. Default 0. */
  cooldown?: number;
  /** The factor that is reached at the end (rsqrt: by cooldown only). Default 0. */
  final?: number;
  /** Exponent of `linear`, which makes it a polynomial. Default 1. */
  power?: number;
  /** Exponent of the cooldown. Default 1. */
  cooldownPower?: number;
  /** Steps τ in which `rsqrt` falls to 1/√2. Default 10,000. */
  timescale?: number;
  /** Steps by which `rsqrt` is ahead. Default 0. */
  shift?: number;
}

/** The factor of the learning rate at a step, counted from 0; fractions of steps are allowed. */
export type Schedule = (step: number) => number;

function check({ total, warmup = 0, cooldown = 0 }: ScheduleOptions): void {
  if (!(total > 0 && warmup >= 0 && cooldown >= 0 && warmup + cooldown <= total)) {
    throw new TorchError(
      `A schedule of ${total} steps cannot hold ${warmup} steps of warm-up and ${cooldown} of cooldown; make it longer or those shorter.`,
    );
  }
}

/**
 * The factor of the learning rate by step s, with W steps of warm-up, C of cooldown, T in all,
 * final value f and progress p = (s − W)/(T − W):
 *
 * - warm-up, s < W: (s + 1)/W of the course's first value
 * - cosine: f + (1 − f)·½(1 + cos πp) (Loshchilov and Hutter 2017, eq. 5)
 * - linear: f + (1 − f)·(1 − p)^power
 * - constant: 1
 * - rsqrt: 1/√(1 + (s − W + shift)/τ) (Zhai et al. 2022, section 3.5)
 * - cooldown, s > T − C: f + (course − f)·((T − s)/C)^cooldownPower
 *
 * Cosine and constant with warm-up and cooldown are those of OpenCLIP's trainer.
 *
 * @throws TorchError when warm-up and cooldown are longer than the whole.
 */
export function schedule(options: ScheduleOptions): Schedule {
  check(options);
  const { kind, total, warmup = 0, cooldown = 0, final = 0 } = options;
  const { power = 1, cooldownPower = 1, timescale = 10_000, shift = 0 } = options;
  const courses: Readonly<Record<ScheduleOptions['kind'], Schedule>> = {
    cosine: (step) => final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress(step))),
    linear: (step) => final + (1 - final) * (1 - progress(step)) ** power,
    constant: () => 1,
    rsqrt: (step) => 1 / Math.sqrt(1 + (step - warmup + shift) / timescale),
  };
  const progress = (step: number): number =>
    total === warmup ? 1 : (step - warmup) / (total - warmup);
  const course = courses[kind];
  return (step) => {
    const at = Math.min(Math.max(step, 0), total);
    if (at < warmup) return ((at + 1) / warmup) * course(warmup);
    const value = course(at);
    if (at <= total - cooldown) return value;
    return final + (value - final) * ((total - at) / cooldown) ** cooldownPower;
  };
}
