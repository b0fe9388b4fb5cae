/** What the emulated device counts, for tests; only a checkout has it. */
import { prepareDevice } from './device.js';
import { native } from './native.js';

/** Events of the emulated device since the last reset. */
export interface EmulatedCounters {
  /** Operators that ran on it. */
  readonly operators: number;
  readonly copiesIn: number;
  readonly copiesOut: number;
  /** Times that the calling thread would have waited for a GPU. */
  readonly synchronizations: number;
}

/** The counters, and a new start of them. */
export function takeEmulatedCounters(): EmulatedCounters {
  prepareDevice('emulated');
  return native.emulatedCounters(true);
}

/** Milliseconds between the recording of an event and its end. Default 0. */
export function setEmulatedLatency(milliseconds: number): void {
  native.setEmulatedLatency(milliseconds);
}
