import { join } from 'node:path';
import { saveSafetensors } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { readJson } from '../../../base/json-file.js';
import { fromOpenClipPreprocess, toOpenClipPreprocess } from '../../preprocess.js';
import { writeJson } from '../files.js';
import { saveTokenizer, tokenizerFiles } from '../tokenizer-files.js';
import { openWeights } from '../tensor-files.js';
import { findWeights } from '../weights.js';
import { isHubNamed } from './hugging-face-weights.js';
import { unchanged, type ModelFormat, type SaveModelOptions } from './format.js';
import { fromOpenClip, toOpenClip } from './open-clip-config.js';

const CONFIG = 'open_clip_config.json';
const WEIGHTS = 'open_clip_model.safetensors';
/** Names that OpenCLIP looks for, in its order. */
const names = [
  WEIGHTS,
  'open_clip_pytorch_model.safetensors',
  'open_clip_pytorch_model.bin',
  'open_clip_pytorch_model.pth',
  'model.safetensors',
  'pytorch_model.bin',
  'pytorch_model.pth',
  'model.pth',
];
const INFO = 'bantam.json';
const own = [CONFIG, WEIGHTS, INFO, ...tokenizerFiles];

/** Bantam's own format: a directory that OpenCLIP loads unchanged (`local-dir:`), and `bantam.json`. */
export const openClipFormat: ModelFormat = {
  name: 'open-clip',
  owner: "OpenCLIP's",
  owns: (file) => own.includes(file),
  async recognises(directory, files) {
    if (!files.includes(CONFIG)) return false;
    // A directory may have both configurations: that of the weights' names counts.
    return !files.includes('config.json') || !(await hasHubWeights(directory));
  },
  async load(directory, given) {
    const file = join(directory, CONFIG);
    const document = await readJson(file, 'model');
    const { model_cfg, preprocess_cfg } = isObject(document) ? document : {};
    const info = await readJson(join(directory, INFO), 'model');
    const { files, name } =
      given === undefined ? await findWeights(directory, names) : { files: [given], name: given };
    try {
      const config = fromOpenClip(model_cfg);
      const { imageSize } = config.vision;
      return {
        config,
        // As in OpenCLIP, the model's own size counts.
        preprocess: { ...fromOpenClipPreprocess(preprocess_cfg, imageSize), size: imageSize },
        weightsName: name,
        readWeights: (edit = unchanged) => edit(openWeights(files, name).read()),
        info: isObject(info) ? info : {},
      };
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(`${file}: ${error.message}`);
    }
  },
  async save(directory, options) {
    await writeDescription(directory, options);
    saveSafetensors(join(directory, WEIGHTS), options.model.stateDict(), {
      metadata: { format: 'pt' },
    });
  },
};

/** Writes all files of a model directory but the weights. */
export async function writeDescription(
  directory: string,
  { config, tokenizer, preprocess, info = {} }: Omit<SaveModelOptions, 'model'>,
): Promise<void> {
  const text =
    tokenizer === undefined ? config.text : await saveTokenizer(directory, tokenizer, config.text);
  await writeJson(join(directory, CONFIG), {
    model_cfg: toOpenClip({ ...config, text }),
    preprocess_cfg: toOpenClipPreprocess(preprocess),
  });
  await writeJson(join(directory, INFO), info);
}

/** True if the weights of a directory have the names of `transformers`. */
async function hasHubWeights(directory: string): Promise<boolean> {
  try {
    const { files, name } = await findWeights(directory, names);
    return isHubNamed(openWeights(files, name).shapes);
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    return false;
  }
}
