/** Scripts of Unicode 10, after which SentencePiece tells characters apart. */
const names = (
  'Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali ' +
  'Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian ' +
  'Chakma Cham Cherokee Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Duployan ' +
  'Egyptian_Hieroglyphs Elbasan Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gurmukhi ' +
  'Han Hangul Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi ' +
  'Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khmer Khojki ' +
  'Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Malayalam Mandaic ' +
  'Manichaean Marchen Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi ' +
  'Mongolian Mro Multani Myanmar Nabataean New_Tai_Lue Newa Nko Ogham Ol_Chiki Old_Hungarian ' +
  'Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_South_Arabian Old_Turkic Oriya Osage ' +
  'Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic ' +
  'Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sora_Sompeng Sundanese ' +
  'Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana ' +
  'Thai Tibetan Tifinagh Tirhuta Ugaritic Vai Warang_Citi Yi'
).split(' ');

const COMMON = 'Common';
const INHERITED = 'Inherited';
/** Chinese characters and both Japanese syllabaries make words together. */
const HAN = 'Han';
const joined: readonly string[] = ['Hiragana', 'Katakana'];
/** The mark of a long vowel, which Unicode counts as common to both syllabaries. */
const LONG_VOWEL = '\u30fc';

const tests = names.map((name) => ({ name, pattern: new RegExp(`^\\p{Script=${name}}`, 'u') }));
const known = new Map<string, string>();

/** The script of a character, as SentencePiece groups them. */
function scriptOf(character: string): string {
  let script = known.get(character);
  if (script === undefined) {
    const found =
      character === LONG_VOWEL
        ? HAN
        : (tests.find(({ pattern }) => pattern.test(character))?.name ?? COMMON);
    script = joined.includes(found) ? HAN : found;
    known.set(character, script);
  }
  return script;
}

/** True if all characters are of one script; marks take that of the character before them. */
export function isOneScript(text: string): boolean {
  let script: string | undefined;
  for (const character of text) {
    const own = scriptOf(character);
    if (own === INHERITED) continue;
    if (script !== undefined && own !== script) return false;
    script = own;
  }
  return true;
}
