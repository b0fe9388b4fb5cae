/** A model a quarter as large as `ModifiedResNet-Nano-64`. */
import { modelConfig } from 'bantam';

/** `ModifiedResNet-Nano-64` with half the width in both towers and half the layers of text. */
export const smallResNet = modelConfig('ModifiedResNet-Nano-64', {
  embedDim: 96,
  vision: { width: 16 },
  text: { width: 96, layers: 2 },
});
