import { join } from 'node:path';
import { saveSafetensors } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { readJson } from '../../../base/json-file.js';
import { fromOpenClipPreprocess, toOpenClipPreprocess } from '../../preprocess.js';
import { writeJson } from '../files.js';
import { saveTokenizer, tokenizerFiles } from '../tokenizer-files.js';
import { findWeights, readTensors } from '../weights.js';
import type { ModelFormat } from './format.js';
import { fromOpenClip, toOpenClip } from './open-clip-config.js';

const CONFIG = 'open_clip_config.json';
const WEIGHTS = 'open_clip_model.safetensors';
const INFO = 'bantam.json';
const own = [CONFIG, WEIGHTS, INFO, ...tokenizerFiles];

/** Bantam's own format: a directory that OpenCLIP loads unchanged (`local-dir:`), and `bantam.json`. */
export const openClipFormat: ModelFormat = {
  name: 'open-clip',
  owner: "OpenCLIP's",
  owns: (file) => own.includes(file),
  recognises: (_directory, files) => Promise.resolve(files.includes(CONFIG)),
  async load(directory) {
    const file = join(directory, CONFIG);
    const document = await readJson(file, 'model');
    const { model_cfg, preprocess_cfg } = isObject(document) ? document : {};
    const info = await readJson(join(directory, INFO), 'model');
    const weights = await findWeights(directory, WEIGHTS);
    const weightsName = join(directory, weights);
    try {
      const config = fromOpenClip(model_cfg);
      const { imageSize } = config.vision;
      return {
        config,
        // As in OpenCLIP, the model's own size counts.
        preprocess: { ...fromOpenClipPreprocess(preprocess_cfg, imageSize), size: imageSize },
        weightsName,
        readWeights: () => readTensors(weightsName),
        info: isObject(info) ? info : {},
      };
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(`${file}: ${error.message}`);
    }
  },
  async save(directory, { config, model, tokenizer, preprocess, info = {} }) {
    const text =
      tokenizer === undefined
        ? config.text
        : await saveTokenizer(directory, tokenizer, config.text);
    await writeJson(join(directory, CONFIG), {
      model_cfg: toOpenClip({ ...config, text }),
      preprocess_cfg: toOpenClipPreprocess(preprocess),
    });
    await writeJson(join(directory, INFO), info);
    saveSafetensors(join(directory, WEIGHTS), model.stateDict(), { metadata: { format: 'pt' } });
  },
};
