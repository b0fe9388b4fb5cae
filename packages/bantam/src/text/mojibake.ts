/**
 * Repair of the commonest damage to text: UTF-8 bytes that were read as Windows-1252 or Latin-1
 * (`cafÃ©` for `café`). Strings of bytes are written as JavaScript strings of U+0000 to U+00FF.
 */

/* eslint-disable no-control-regex -- bytes as characters are the subject */

/** Bytes 0x80 to 0x9f of Windows-1252; the five that it leaves free map to themselves. */
const HIGH = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/** Stands for a byte that was lost: it has become U+FFFD. */
const LOST = '\u001a';

const BYTE_OF = new Map<string, string>([
  ...Array.from(HIGH, (character, i) => [character, String.fromCharCode(0x80 + i)] as const),
  ['\ufffd', LOST],
]);

/** Classes of the bytes 0x80 to 0xbf, by what Windows-1252 shows for them. */
const ODD =
  '\\x81\\x83\\x86-\\x89\\x8d\\x8f\\x90\\x98\\x9d\\xa4\\xa6\\xa8\\xaa\\xac\\xaf\\xb8\\xba'; // ¤ ¦ ¨ ª
const CAPITAL = '\\x8a\\x8c\\x8e\\x9c\\x9f'; // Š Œ Ž Ÿ, and œ
const SMALL = '\\x9a\\x9e'; // š ž
const CURRENCY = '\\x80\\xa2\\xa3\\xa5';
const OPENING = '\\x82\\x84\\x8b\\x91\\x93\\x95\\xa1\\xa9\\xab\\xbf'; // “ « ¿ • ©
const CLOSING = '\\x94\\x99\\x9b\\xae\\xbb'; // ” » ™ ®
const NUMBER = '\\xb1-\\xb3\\xb5\\xb9\\xbc-\\xbe'; // ± ² ½ µ
const UPPER = '[\\xc0-\\xd1\\xd8\\xdc\\xdd]';
const LOWER = '[\\xdf-\\xf1]';

/**
 * Pairs that hardly occur in any language, but that UTF-8 turns to when it is misread. Letters with
 * accents are frequent; what decides is the sign that follows them.
 */
const SUSPICIOUS = new RegExp(
  [
    `${UPPER}[${ODD}${NUMBER}\\xa7\\xb0\\xb6]`,
    `[a-z]${UPPER}[${OPENING}${CURRENCY}]`,
    `\\s${UPPER}[${CURRENCY}]`,
    `${LOWER}(?:[${ODD}${CAPITAL}${CURRENCY}]|[${SMALL}][${ODD}${CURRENCY}])`,
    `${LOWER}(?:[${OPENING}][${ODD}${NUMBER}]|[${NUMBER}][${ODD}${OPENING}${SMALL}])`,
    `${LOWER}[${CLOSING}][${ODD}${CURRENCY}${OPENING}]`,
    `[\\xc0-\\xd1\\xd8\\xdc\\xdd-\\xf1][${OPENING}${CLOSING}](?:[a-zA-Z0-9${CAPITAL}${SMALL}\\xb2\\xb3\\xb5\\xb9\\xbc-\\xbe])`,
    // First bytes of Latin-1, Greek and Cyrillic letters; … Œ Ž ’ do follow capital letters.
    '[\\xc2\\xc3\\xce\\xd0][\\x80\\x82\\x84\\x8a\\x8b\\x91\\x93-\\x97\\x99-\\xa3\\xa9\\xab\\xad\\xae\\xb4\\xb7\\xbb\\xbf]',
    // Hebrew and Arabic, in runs.
    '(?:[\\xd7-\\xd9][\\x80-\\xbf]){2}',
    // A no-break space that has become a plain one.
    '(?:[a-z]\\s?|^)[\\xc2\\xc3] ',
  ].join('|'),
);

/** Bytes that look like UTF-8 and do not stand in the middle of other rubble. */
const UTF8_RUN =
  /(?<![\x80\x83\x86-\x8a\x8c\x8e\x98-\x9a\x9c\x9e-\xbf])(?:[\xc2-\xdf][\x80-\xbf ]|[\xe0-\xef][\x80-\xbf ]{2}|[\xf0\xf3][\x80-\xbf ]{3})+/g;

const LOSSY_CHARACTER =
  /[\xc2-\xdf]\x1a|[\xe0-\xef](?:\x1a[\x1a\x80-\xbf]|[\x80-\xbf]\x1a)|[\xf0-\xf4](?=.{0,2}\x1a)[\x1a\x80-\xbf]{3}|\x1a/g;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const C1_CONTROL = /[\x80-\x9f]/;

/** Each character's byte in Windows-1252 or Latin-1; characters that have none stay. */
function toBytes(text: string): string {
  return text.replace(/[^\x00-\xff]/g, (character) => BYTE_OF.get(character) ?? character);
}

/**
 * Decodes bytes as UTF-8 (undefined if they are something else), after two repairs: a byte 0xa0
 * that some program took for a space is put back (`Ã la` was `à la`), and what is left of a
 * character with lost bytes becomes U+FFFD.
 */
function decodeUtf8(bytes: string): string | undefined {
  const repaired = bytes
    .replace(/\xc3 (?! |quele|quela|quilo|s )/g, '\xc3\xa0 ')
    .replace(/[\xc2\xc3\xc5\xce\xd0\xd9] /g, (pair) => pair.replace(' ', '\xa0'))
    .replace(LOSSY_CHARACTER, '\xef\xbf\xbd');
  try {
    return utf8.decode(Uint8Array.from(repaired, (byte) => byte.charCodeAt(0)));
  } catch {
    return undefined;
  }
}

function fixOnce(text: string): string {
  const bytes = toBytes(text);
  if (!SUSPICIOUS.test(bytes) && !C1_CONTROL.test(text)) return text;
  const whole = /[^\x00-\xff]/.test(bytes) ? undefined : decodeUtf8(bytes);
  if (whole !== undefined) return whole;
  let fixed = '';
  let end = 0;
  for (const { 0: run, index } of bytes.matchAll(UTF8_RUN)) {
    const decoded = SUSPICIOUS.test(run) ? decodeUtf8(run) : undefined;
    if (decoded === undefined) continue;
    fixed += text.slice(end, index) + decoded;
    end = index + run.length;
  }
  return fixed + text.slice(end);
}

/**
 * Undoes UTF-8 read as Windows-1252 or Latin-1, several times over if need be: the whole text where
 * it is UTF-8 throughout, otherwise the damaged stretches. Text that gives no reason for suspicion
 * is returned unchanged.
 */
export function fixMojibake(text: string): string {
  let before: string;
  do {
    before = text;
    text = fixOnce(text);
  } while (text !== before);
  return text;
}

/** Gives C1 control characters the meaning that Windows-1252 has for their bytes, as browsers do. */
export function fixC1Controls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => HIGH[control.charCodeAt(0) - 0x80] ?? control);
}
