import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

/** Value of an expression of a module of ours in a process with this BANTAM_MAX_ISA, or its error. */
function under(limit: string, module: string, expression: string): string {
  const file = JSON.stringify(new URL(module, import.meta.url).href);
  const program = `
    try { console.log((await import(${file})).${expression}); }
    catch (error) { console.log(error.name + ': ' + error.message); }`;
  const env = { ...process.env, BANTAM_MAX_ISA: limit };
  const run = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { env });
  return run.stdout.toString().trim();
}

const levels = ['default', 'avx2', 'avx512', 'avx512_bf16', 'amx'];
const own = under('', './index.js', 'instructionLevel()');

describe('BANTAM_MAX_ISA', () => {
  it('limits the level to the lower of itself and what the machine has', () => {
    assert.ok(levels.includes(own), own);
    for (const [i, limit] of levels.entries()) {
      const expected = levels[Math.min(i, levels.indexOf(own))];
      assert.equal(under(limit, './index.js', 'instructionLevel()'), expected);
    }
  });

  it('tells AVX2 with AVX-VNNI from AVX2 alone by the limit, not by the level', () => {
    const level = under('avx2', './index.js', 'instructionLevel()');
    assert.equal(under('avx2_vnni', './index.js', 'instructionLevel()'), level);
  });

  it('limits precision by instructions: no bf16 products below their level', () => {
    for (const limit of ['default', 'avx2', 'avx512']) {
      assert.equal(under(limit, './index.js', 'hasAvx512Bf16()'), 'false');
    }
    assert.equal(under('avx512_bf16', './index.js', 'hasAmx()'), 'false');
  });

  it('limits the forms of resizing', () => {
    assert.equal(under('default', './image.js', 'resampleForms.join()'), 'plain');
    const forms = under('avx2', './image.js', 'resampleForms.join()');
    assert.equal(forms, own === 'default' ? 'plain' : 'plain,avx2');
  });

  it('refuses what is no level, in one sentence, in both addons', () => {
    for (const module of ['./index.js', './image.js']) {
      assert.equal(
        under('AVX2', module, 'TorchError'),
        "TorchError: BANTAM_MAX_ISA is 'AVX2': set it to default, avx2, avx2_vnni, avx512, avx512_bf16 or amx, or unset it to use all that the CPU has.",
      );
    }
  });
});
