import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadSafetensors, type Tensor } from '@bantam/torch';

const path = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/eval/${name}`, import.meta.url));

/** The tensors of a fixture of evaluation, by name; an absent one fails the test. */
export function storedTensors(name: string): (tensor: string) => Tensor {
  const { tensors } = loadSafetensors(path(`${name}.safetensors`));
  return (tensor) => {
    const found = tensors.get(tensor);
    assert.ok(found, `the fixture ${name} has ${tensor}`);
    return found;
  };
}

/** The JSON document of a fixture of evaluation. */
export function storedJson(name: string): unknown {
  return JSON.parse(readFileSync(path(`${name}.json`), 'utf8'));
}
