import { join } from 'node:path';
import { saveSafetensors, scope } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { readJson } from '../../../base/json-file.js';
import { cleaningByFiles, type Cleaning, type Tokenizer } from '../../../text/index.js';
import { writeJson } from '../files.js';
import { tokenizerFiles } from '../tokenizer-files.js';
import { openWeights } from '../tensor-files.js';
import { findWeights } from '../weights.js';
import { unchanged, type ModelFormat } from './format.js';
import {
  fromHubConfig,
  toHubConfig,
  type HubConfig,
  type HubModelType,
  type HubTokenIds,
} from './hugging-face-config.js';
import { fromHubPreprocess, toHubPreprocess } from './hugging-face-preprocess.js';
import { fromHubWeights, toHubWeights } from './hugging-face-weights.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const PROCESSOR = 'preprocessor_config.json';
const own = [CONFIG, WEIGHTS, PROCESSOR, ...tokenizerFiles];

/** `CLIPModel` and `SiglipModel` as `transformers` saves and reads them. */
export const huggingFaceFormat: ModelFormat = {
  name: 'hugging-face',
  owner: "Hugging Face's",
  owns: (file) => own.includes(file),
  async recognises(directory, files) {
    return files.includes(CONFIG) && modelType(await readConfig(directory)) !== null;
  },
  async load(directory, given) {
    const document = await readConfig(directory);
    const type = modelType(document) ?? 'clip';
    const { files, name } =
      given === undefined
        ? await findWeights(directory, [WEIGHTS, 'pytorch_model.bin'])
        : { files: [given], name: given };
    const processor = await readProcessor(directory);
    try {
      const config = fromHubConfig(document, type);
      return {
        config,
        preprocess: fromHubPreprocess(processor, type, config.vision.imageSize),
        weightsName: name,
        readWeights: (edit = unchanged) =>
          fromHubWeights(edit(openWeights(files, name).read()), config),
        clean: await cleaning(directory),
        info: {},
      };
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(`${directory}: ${error.message}`);
    }
  },
  async save(directory, { config, model, tokenizer, preprocess }) {
    const type = config.vision.type === 'siglip-vit' ? 'siglip' : 'clip';
    await writeJson(join(directory, CONFIG), toHubConfig(config, tokenIds(tokenizer)));
    await writeJson(join(directory, PROCESSOR), toHubPreprocess(preprocess, type));
    await tokenizer?.save(directory);
    scope(() => {
      saveSafetensors(join(directory, WEIGHTS), toHubWeights(model.stateDict(), config), {
        metadata: { format: 'pt' },
      });
    });
  },
};

/** Special tokens of a tokenizer; −1 is none. */
function tokenIds(tokenizer: Tokenizer | undefined): HubTokenIds {
  if (tokenizer === undefined) return {};
  const { sotId, eotId, padId } = tokenizer;
  const known = (id: number) => (id < 0 ? undefined : id);
  return { start: known(sotId), end: known(eotId), padding: known(padId) };
}

async function readConfig(directory: string): Promise<HubConfig> {
  const document = await readJson(join(directory, CONFIG), 'model');
  return isObject(document) ? document : {};
}

function modelType({ model_type: type }: HubConfig): HubModelType | null {
  return type === 'clip' || type === 'siglip' ? type : null;
}

/** The image's part of the preprocessor, which newer files have inside the whole one. */
async function readProcessor(directory: string): Promise<HubConfig> {
  const alone = await readJson(join(directory, PROCESSOR), 'model');
  if (isObject(alone)) return alone;
  const whole = await readJson(join(directory, 'processor_config.json'), 'model');
  return isObject(whole) && isObject(whole.image_processor) ? whole.image_processor : {};
}

/** Cleaning of texts by the tokenizer's files. */
async function cleaning(directory: string): Promise<Cleaning> {
  const document = await readJson(join(directory, 'tokenizer_config.json'), 'tokenizer');
  return cleaningByFiles(isObject(document) ? document : {});
}
