import { clone, copy_, detach, noGrad, type Module, type Tensor } from '@bantam/torch';

/**
 * The buffers of modules that a forward pass changes, such as the statistics of batch norms, as they
 * are now. The scope around frees the copies.
 */
export class BufferSnapshot {
  readonly #kept: readonly { readonly buffer: Tensor; readonly before: Tensor }[];

  constructor(modules: readonly Module[]) {
    this.#kept = noGrad(() =>
      modules
        .flatMap((module) => [...module.namedBuffers().values()])
        .filter(({ persistent }) => persistent)
        .map((buffer) => ({ buffer, before: clone(detach(buffer)) })),
    );
  }

  /** Gives them the values back that they had. */
  restore(): void {
    noGrad(() => {
      for (const { buffer, before } of this.#kept) copy_(buffer, before);
    });
  }
}
