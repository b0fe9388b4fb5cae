// What libtorch is and what it runs on.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>
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

Napi::Value has_amx(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), at::cpu::init_amx());
}

Napi::Value has_avx512_bf16(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), processor_has({"avx512_bf16"}));
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
  exports["hasAmx"] = Napi::Function::New(env, has_amx);
  exports["hasAvx512Bf16"] = Napi::Function::New(env, has_avx512_bf16);
  exports["getThreads"] = Napi::Function::New(env, get_threads);
  exports["setThreads"] = Napi::Function::New(env, set_threads);
  exports["loadCuda"] = Napi::Function::New(env, load_cuda);
}

}  // namespace bantam
