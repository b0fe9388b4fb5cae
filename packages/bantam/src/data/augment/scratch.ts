let memory = new Uint8Array(0);

/**
 * Bytes of unknown content that the next caller gets again: room for an operation's intermediate
 * image, so that augmenting makes no garbage. Nothing may keep them.
 */
export function scratch(length: number): Uint8Array {
  if (memory.length < length) memory = new Uint8Array(length);
  return memory.subarray(0, length);
}
