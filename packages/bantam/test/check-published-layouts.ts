/**
 * Pulls the models that `fixtures/make_published_layouts.py` made from a hub on loopback, under every published name,
 * and compares their features, token ids and preprocessing with Python's.
 *
 *     node dist-test/check-published-layouts.js FOLDER
 *
 * Exit status 1 if anything differs by more than 1e-5.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { abs, loadSafetensors, max, noGrad, scope, sub, type Tensor } from '@bantam/torch';
import { loadModel, type LoadedModel } from '../dist/models/index.js';
import { LoopbackHub } from '../dist/test-support/loopback-hub.js';

interface Case {
  readonly case: string;
  readonly repository: string;
  readonly names: readonly string[];
  readonly captions: readonly string[] | null;
  readonly preprocess: Readonly<Record<string, unknown>>;
}

const TOLERANCE = 1e-5;

function worst(a: Tensor, b: Tensor): number {
  return max(abs(sub(a, b))).item();
}

/** The largest difference of the features, and what else differs. */
function compare(loaded: LoadedModel, tensors: ReadonlyMap<string, Tensor>, wanted: Case) {
  const tensor = (name: string): Tensor => {
    const found = tensors.get(name);
    if (found === undefined) throw new RangeError(`There is no ${name}.`);
    return found;
  };
  const { model, preprocess } = loaded;
  const problems: string[] = [];
  const [image, text] = scope(() =>
    noGrad(() => [
      worst(model.encodeImage(tensor('pixels'), { normalize: true }), tensor('image')),
      worst(model.encodeText(tensor('ids'), { normalize: true }), tensor('text')),
    ]),
  );
  if (wanted.captions !== null) {
    const { ids } = loaded.tokenizer.encodeBatch(wanted.captions, { length: 'context' });
    const same = tensor('ids').toTypedArray().join() === ids.join();
    if (!same) problems.push('token ids differ');
  }
  const { resize_mode: mode, ...others } = wanted.preprocess;
  for (const [key, value] of Object.entries({
    ...others,
    ...(mode !== undefined && { resizeMode: mode }),
  })) {
    const own = new Map<string, unknown>(Object.entries(preprocess)).get(key);
    if (JSON.stringify(own) !== JSON.stringify(value))
      problems.push(`${key} is ${JSON.stringify(own)}`);
  }
  return { image, text, problems };
}

const [folder = ''] = process.argv.slice(2);
const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Case[];
let failed = false;
for (const each of cases) {
  const files = join(folder, each.case, 'files');
  const hub = await LoopbackHub.start();
  const cacheDir = mkdtempSync(join(folder, 'cache-'));
  try {
    if (each.repository !== '') {
      const contents = readdirSync(files).map(
        (name) => [name, readFileSync(join(files, name))] as const,
      );
      hub.put(each.repository, { files: Object.fromEntries(contents) });
    }
    const { tensors } = loadSafetensors(join(folder, each.case, 'expected.safetensors'));
    for (const name of each.names) {
      const path = name.replace(/^file:/, `${files}/`);
      const loaded = await loadModel(path, {
        hub: { endpoint: hub.endpoint, cacheDir, offline: false, token: '' },
      });
      const { image, text, problems } = compare(loaded, tensors, each);
      loaded.model.dispose();
      const good = image <= TOLERANCE && text <= TOLERANCE && problems.length === 0;
      failed ||= !good;
      const sizes = `image ${image.toExponential(1)}, text ${text.toExponential(1)}`;
      console.log(
        `${each.case}: ${name}: ${sizes}${problems.map((text) => `, ${text}`).join('')}: ${good ? 'equal' : 'DIFFERENT'}`,
      );
    }
  } finally {
    await hub.stop();
    rmSync(cacheDir, { recursive: true });
  }
}
process.exitCode = failed ? 1 : 0;
