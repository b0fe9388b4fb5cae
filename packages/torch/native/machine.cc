// What libtorch is and what it runs on.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <torch/version.h>

#include "handle.h"
#include "kernels/processor.h"

namespace bantam {
namespace {

Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), TORCH_VERSION); }

Napi::Value build_config(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), at::show_config());
}

Napi::Value cpu_capability(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), at::get_cpu_capability());
}

/// instructionLevel() → one of kLevelNames
Napi::Value instruction_level(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), kLevelNames[static_cast<int>(level())]);
}

/// instructionLimitError() → a sentence, or an empty text
Napi::Value instruction_limit_error(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), limit_error());
}

Napi::Value get_threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), at::get_num_threads());
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "setThreads", [&]() -> Napi::Value {
    at::set_num_threads(info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
  });
}

/// loadCuda(): libtorch's CUDA operators register themselves when their library loads. → error or null
Napi::Value load_cuda(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) return Napi::String::New(env, dlerror());
  if (!at::hasCUDA()) return Napi::String::New(env, "no CUDA device or driver was found");
  return env.Null();
}

}  // namespace

void init_machine(Napi::Env env, Napi::Object exports) {
  exports["version"] = Napi::Function::New(env, version);
  exports["buildConfig"] = Napi::Function::New(env, build_config);
  exports["cpuCapability"] = Napi::Function::New(env, cpu_capability);
  exports["instructionLevel"] = Napi::Function::New(env, instruction_level);
  exports["instructionLimitError"] = Napi::Function::New(env, instruction_limit_error);
  exports["getThreads"] = Napi::Function::New(env, get_threads);
  exports["setThreads"] = Napi::Function::New(env, set_threads);
  exports["loadCuda"] = Napi::Function::New(env, load_cuda);
}

}  // namespace bantam
