import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ItemKind } from '../model/batcher.js';
import type { ServedModel } from '../model/served-model.js';

/** The server's metrics in Prometheus' format. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Histogram<'route' | 'status'>;
  readonly #batchSize: Histogram<'model' | 'kind'>;
  readonly #wait: Histogram<'model' | 'kind'>;
  readonly #items: Counter<'model' | 'kind' | 'outcome'>;
  readonly #restarts: Counter<'model'>;
  readonly #reloads: Counter<'outcome'>;

  constructor(models: () => Iterable<ServedModel>, pendingBytes: () => number) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Histogram({
      name: 'bantam_request_seconds',
      help: 'Time from the headers of a request to the end of its answer.',
      labelNames: ['route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.#batchSize = new Histogram({
      name: 'bantam_batch_size',
      help: 'Items of a batch.',
      labelNames: ['model', 'kind'],
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    });
    this.#wait = new Histogram({
      name: 'bantam_batch_wait_seconds',
      help: 'Time that the oldest item of a batch has waited for it.',
      labelNames: ['model', 'kind'],
      buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.#items = new Counter({
      name: 'bantam_items_total',
      help: 'Texts and images by their outcome.',
      labelNames: ['model', 'kind', 'outcome'],
      registers,
    });
    this.#restarts = new Counter({
      name: 'bantam_model_restarts_total',
      help: 'Starts of a process in place of one that ended.',
      labelNames: ['model'],
      registers,
    });
    this.#reloads = new Counter({
      name: 'bantam_reloads_total',
      help: 'Reloads of the models by their outcome.',
      labelNames: ['outcome'],
      registers,
    });
    const ofModels = (
      name: string,
      help: string,
      value: (model: ServedModel) => number,
    ): Gauge<'model'> =>
      new Gauge({
        name,
        help,
        labelNames: ['model'],
        registers,
        collect() {
          this.reset();
          for (const model of models()) this.set({ model: model.name }, value(model));
        },
      });
    ofModels('bantam_items_pending', 'Items that are decoded, queued or computed.', (model) => {
      return model.slots.taken;
    });
    ofModels('bantam_items_queued', 'Items that wait for a batch.', (model) => model.waiting);
    ofModels('bantam_model_resident_bytes', "Memory of a model's process.", (model) => {
      return model.residentBytes;
    });
    new Gauge({
      name: 'bantam_pending_body_bytes',
      help: 'Bytes of the request bodies that are held.',
      registers,
      collect() {
        this.set(pendingBytes());
      },
    });
  }

  request(labels: { route: string; status: number }, seconds: number): void {
    this.#requests.observe({ route: labels.route, status: String(labels.status) }, seconds);
  }

  batch(model: string, batch: { kind: ItemKind; size: number; waitedMs: number }): void {
    const { kind, size, waitedMs } = batch;
    this.#batchSize.observe({ model, kind }, size);
    this.#wait.observe({ model, kind }, waitedMs / 1000);
  }

  item(model: string, kind: ItemKind, outcome: 'embedded' | 'refused' | 'failed'): void {
    this.#items.inc({ model, kind, outcome });
  }

  restart(model: string): void {
    this.#restarts.inc({ model });
  }

  reload(outcome: 'done' | 'failed'): void {
    this.#reloads.inc({ outcome });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
