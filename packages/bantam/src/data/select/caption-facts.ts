/** Caption and image facts that rules refer to. */

/** Facts of a caption; see {@link captionFacts}. */
export interface CaptionFacts {
  readonly words: number;
  readonly characters: number;
  /** ISO 639-1 code; absent if no language is recognised. */
  readonly language?: string;
}

/** A detector of languages, as {@link loadLanguageDetector} gives it. */
export type LanguageDetector = (text: string) => string | undefined;

/**
 * Loads the detector: eld, 60 languages, n-grams of words. Its medium table takes 2 MB; on captions
 * of a few words the small tables of other libraries are wrong more often than right.
 */
export async function loadLanguageDetector(): Promise<LanguageDetector> {
  const { eld } = await import('eld/medium');
  return (text) => {
    const { language } = eld.detect(text);
    return language === '' ? undefined : language;
  };
}

/** Words between white space, Unicode characters, and the language of a caption. */
export function captionFacts(caption: string, detect: LanguageDetector): CaptionFacts {
  const language = detect(caption);
  return {
    words: caption.split(/\s+/).filter(Boolean).length,
    characters: Array.from(caption).length,
    ...(language !== undefined && { language }),
  };
}

/** Facts of an image, in pixels. */
export interface ImageFacts {
  readonly width: number;
  readonly height: number;
  /** Longer by shorter side. */
  readonly aspect: number;
}

export function imageFacts({ width, height }: { width: number; height: number }): ImageFacts {
  const aspect = Math.max(width, height) / Math.min(width, height);
  return { width, height, aspect: Number(aspect.toPrecision(9)) };
}
