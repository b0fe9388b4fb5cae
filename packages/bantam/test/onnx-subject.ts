import {
  add,
  copy_,
  fromTypedArray,
  Generator,
  mul,
  noGrad,
  rand,
  randn,
  scope,
  type Tensor,
} from '@bantam/torch';
import type { OnnxRuntime, RuntimeTensor } from '../dist/export/index.js';
import { createModel, fuseModel, type Clip, type ModelConfig } from '../dist/models/index.js';

const TEXTS = 3;

/** Batch norms and layer scales that do something: fresh ones multiply by 1 or nearly nothing. */
function enliven(model: Clip, generator: Generator): void {
  noGrad(() => {
    scope(() => {
      for (const [name, tensor] of model.stateDict()) {
        const spread = () => add(mul(rand(tensor.shape, generator), 0.5), 0.3);
        if (
          /gamma$|bn\d?\.weight$|identity\.weight$|downsample\.1\.weight$|running_var$/.test(name)
        ) {
          copy_(tensor, spread());
        } else if (/running_mean$|(?:bn\d?|identity|downsample\.1)\.bias$/.test(name)) {
          copy_(tensor, mul(randn(tensor.shape, generator), 0.1));
        }
      }
    });
  });
}

/** The model of a configuration with random weights, as an export has it. */
export function exportableModel(config: ModelConfig): Clip {
  const generator = new Generator({ seed: 1 });
  const model = createModel(config, { generator }).eval();
  enliven(model, generator);
  const branches = [config.vision, config.text].some((tower) => 'fused' in tower && !tower.fused);
  if (!branches) return model;
  using branched = model;
  return fuseModel(branched);
}

/** Token ids of texts of that length and shorter, padded, each with the highest id at its end. */
export function sampleIds({ text }: ModelConfig, length: number): Tensor {
  const padId = 'padId' in text ? text.padId : 0;
  const ids = new BigInt64Array(TEXTS * length).fill(BigInt(padId));
  for (let row = 0; row < TEXTS; row++) {
    const end = Math.max(1, length - 1 - 2 * row);
    for (let i = 0; i < end; i++) {
      ids[row * length + i] = BigInt(1 + ((7 * row + 13 * i) % (text.vocabSize - 3)));
    }
    const endId = 'eosId' in text && text.poolType === 'eos' ? text.eosId : text.vocabSize - 1;
    ids[row * length + end] = BigInt(endId);
  }
  return fromTypedArray(ids, { shape: [TEXTS, length] });
}

/** A graph's input as the runtime takes it. */
export function toRuntime(runtime: OnnxRuntime, tensor: Tensor): RuntimeTensor {
  const values = tensor.toTypedArray();
  if (values instanceof BigInt64Array) return runtime.integers(values, tensor.shape);
  return runtime.floats(Float32Array.from(values, Number), tensor.shape);
}
