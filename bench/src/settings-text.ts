import type { PeerSettings } from './protocol.js';

/** `fused AdamW, plain attention`; `defaults` where nothing is set, nothing for null. */
export function describeSettings(settings: PeerSettings | null): string {
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
