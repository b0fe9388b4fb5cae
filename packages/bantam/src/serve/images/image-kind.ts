/** Kinds of image files that the server decodes. */
export type ImageKind = 'jpeg' | 'png' | 'gif' | 'webp' | 'tiff' | 'avif';

/**
 * The kind of an image file by its first bytes; undefined: none that the server decodes. SVG is no such
 * kind: it is a program, whose cost its size does not bound, and it may name other files.
 */
export function imageKind(bytes: Uint8Array): ImageKind | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 16)).toString(
    'latin1',
  );
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (text.startsWith('GIF87a') || text.startsWith('GIF89a')) return 'gif';
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'webp';
  if (text.startsWith('II*\0') || text.startsWith('MM\0*')) return 'tiff';
  if (/^ftyp(avif|avis|mif1)/.test(text.slice(4))) return 'avif';
  return undefined;
}
