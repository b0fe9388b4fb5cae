import { countFlops, onDevice, scope, zeros } from '@bantam/torch';
import { createModel, type ModelConfig, type PerTower } from '../models/index.js';
import { imageTokens } from '../models/towers/decoder/multimodal-decoder.js';

/**
 * FLOPs of one forward pass, counted operator by operator in a run of the model on the meta device,
 * with all tokens computed. The formulas of `modelFlops` must agree.
 */
export function countModelFlops(
  config: ModelConfig,
  { captionTokens = config.text.contextLength }: { captionTokens?: number } = {},
): PerTower {
  const { imageSize } = config.vision;
  return onDevice('meta', () => {
    using model = createModel(config, { generator: null });
    const { visual, text, textDecoder } = model.eval();
    const count = (run: () => unknown) =>
      countFlops(() => {
        scope(() => void run());
      });
    const tokens = imageTokens(config);
    return {
      image: count(() => visual.encode(zeros([1, 3, imageSize, imageSize]), { tokens: true })),
      text: count(() =>
        text.encode(zeros([1, captionTokens], { dtype: 'int64' }), { tokens: true }),
      ),
      ...(textDecoder !== null && {
        decoder: count(() =>
          textDecoder.forward(
            zeros([1, captionTokens, tokens.width]),
            zeros([1, tokens.count, tokens.width]),
          ),
        ),
      }),
    };
  });
}
