// Random generators: each is a stream of its own whose state can be saved and restored.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "handle.h"

namespace bantam {
namespace {

/// createGenerator(device, seed)
Napi::Value create_generator(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  return guarded(env, "generator", [&]() -> Napi::Value {
    const c10::Device device(info[0].As<Napi::String>().Utf8Value());
    bool lossless = false;
    const uint64_t seed = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
    at::Generator generator;
    if (device.is_cpu()) {
      generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    } else {
      generator = at::globalContext().defaultGenerator(device).clone();
      generator.set_current_seed(seed);
    }
    auto* handle = new GeneratorHandle{Tag::kGenerator, std::move(generator)};
    return Napi::External<GeneratorHandle>::New(env, handle, [](Napi::Env, GeneratorHandle* h) { delete h; });
  });
}

Napi::Value generator_state(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "generator", [&] { return wrap_tensor(info.Env(), unwrap_generator(info[0]).get_state()); });
}

Napi::Value set_generator_state(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "generator", [&]() -> Napi::Value {
    auto generator = unwrap_generator(info[0]);
    generator.set_state(unwrap_tensor(info[1]));
    return info.Env().Undefined();
  });
}

}  // namespace

void init_random(Napi::Env env, Napi::Object exports) {
  exports["createGenerator"] = Napi::Function::New(env, create_generator);
  exports["generatorState"] = Napi::Function::New(env, generator_state);
  exports["setGeneratorState"] = Napi::Function::New(env, set_generator_state);
}

}  // namespace bantam
