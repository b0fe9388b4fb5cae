import type { BaselineSettings } from './protocol.js';

/** `fused AdamW, plain attention`; `defaults` if none is set, empty for null. */
export function describeSettings(settings: BaselineSettings | null): string {
  if (settings === null) return '';
  const parts = [
    settings.weights === 'bf16' && 'bf16 weights',
    settings.fusedAdamW && 'fused AdamW',
    settings.mathAttention && 'plain attention',
    settings.keepMemory && 'kept memory',
    settings.channelsLast && 'channels-last',
    settings.compile && 'torch.compile',
  ].filter((part) => part !== false);
  return parts.length > 0 ? parts.join(', ') : 'defaults';
}
