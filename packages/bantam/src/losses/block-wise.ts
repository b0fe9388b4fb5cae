import {
  add,
  add_,
  detach,
  enableGrad,
  grad,
  mul,
  noGrad,
  scope,
  sub,
  sum,
  zerosLike,
  type Tensor,
} from '@bantam/torch';

/**
 * Σ of `lossOf(block, inputs)`, a scalar each, with the same gradients as their plain sum, of which no
 * block outlives its turn: each one's gradients are taken at once. The result is
 * value + Σ⟨input, gradient⟩ − (the same, detached), so its backward pass hands the gradients on. A
 * single block is computed as it is.
 */
export function blockWise<Block, Inputs extends readonly Tensor[]>(
  inputs: Inputs,
  blocks: readonly Block[],
  lossOf: (block: Block, inputs: Inputs) => Tensor,
): Tensor {
  const [only, ...others] = blocks;
  if (only !== undefined && others.length === 0) return lossOf(only, inputs);
  return scope(() => {
    const leaves = inputs.map((input) => {
      const leaf = detach(input);
      leaf.requiresGrad = input.requiresGrad;
      return leaf;
    });
    const wanted = leaves.filter((leaf) => leaf.requiresGrad);
    const gradients = wanted.map((leaf) => zerosLike(leaf));
    const [first, ...values] = blocks.map((block) =>
      scope(() => {
        const loss = enableGrad(() => lossOf(block, leaves as unknown as Inputs));
        if (wanted.length > 0) {
          grad([loss], wanted).forEach((part, i) => {
            const total = gradients[i];
            if (part !== null && total !== undefined) noGrad(() => add_(total, part));
          });
        }
        return detach(loss);
      }),
    );
    if (first === undefined) throw new RangeError('A loss has no blocks.');
    const value = values.reduce((a, b) => add(a, b), first);
    const products = inputs
      .filter((input) => input.requiresGrad)
      .map((input, i) => sum(mul(input, gradients[i] ?? value)));
    return products.reduce((total, product) => add(total, sub(product, detach(product))), value);
  });
}
