/** No way into the addon but through its guard: functions are registered in one file only. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../native', import.meta.url));

/** Calls that give a function of C++ to Node, in Node-API and in node-addon-api. */
const registers =
  /\bnapi_(create_function|define_class|define_properties|module_register|create_threadsafe_function)\b|\bNapi::(Addon|ObjectWrap|InstanceWrap|PropertyDescriptor|ClassPropertyDescriptor|(Typed)?ThreadSafeFunction|CallbackInfo)\b|\bFunction::New\b|\b(Instance|Static)(Method|Accessor|Value)\b|\bDefinePropert(y|ies)\b|\bNODE_API_MODULE\b|\bNODE_API_NAMED_ADDON\b/;

/** Lines that register functions, as `file:line`. */
function registrations(sources: Readonly<Record<string, string>>): string[] {
  return Object.entries(sources).flatMap(([file, text]) =>
    text.split('\n').flatMap((line, i) => (registers.test(line) ? [`${file}:${i + 1}`] : [])),
  );
}

const sources = Object.fromEntries(
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(cc|h)$/.test(name))
    .map((name) => [
      relative(folder, join(folder, name)),
      readFileSync(join(folder, name), 'utf8'),
    ]),
);

describe("the addon's guard", () => {
  it('is the only place that registers functions', () => {
    const files = registrations(sources).map((place) => place.replace(/:\d+$/, ''));
    // Of what JavaScript calls, and of what other threads have Node call.
    assert.deepEqual(files, ['guard.cc', 'guard.cc']);
  });

  it('would be seen to be passed by', () => {
    for (const planted of [
      'exports["f"] = Napi::Function::New(env, f);',
      'napi_create_function(env, "f", 1, f, nullptr, &value);',
      'napi_define_properties(env, exports, 1, &property);',
      'Napi::Value f(const Napi::CallbackInfo& info) {',
      'struct Counter : Napi::ObjectWrap<Counter> {',
      'NODE_API_MODULE(bantam_torch, init)',
    ]) {
      assert.deepEqual(registrations({ 'planted.cc': planted }), ['planted.cc:1']);
    }
  });

  it('guards what each addon does when it is loaded', () => {
    for (const file of ['addon.cc', join('image', 'addon.cc')]) {
      assert.match(
        String(sources[file]),
        /NAPI_MODULE_INIT\(\) \{ return bantam::guarded_init\(env, exports, bantam::init\); \}/,
      );
    }
  });
});
