/**
 * `bantam/portable`: the parts of Bantam that run wherever JavaScript does, a browser included. They
 * load neither libtorch nor a module of Node. `@bantam/web` is made of them.
 */
export { at } from './base/at.js';
export { BantamError } from './base/errors.js';
export { evalGeometry, type Geometry } from './data/images/eval-geometry.js';
export type { Pixels } from './data/images/pixels.js';
export { resampleWindow } from './data/images/resample-window.js';
export { chooseTemplates, fillTemplate } from './eval/protocols/templates.js';
export type { Preprocess } from './models/preprocess.js';
export { FramedTokenizer } from './text/framed-tokenizer.js';
export { parseTokenizerFiles, SENTENCEPIECE_FILE, wrapperOf } from './text/tokenizer-json.js';
export type { TextCodec } from './text/tokenizer.js';
