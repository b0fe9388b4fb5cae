// What libtorch is and what it runs on.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>
#include <dlfcn.h>
#include <torch/version.h>

#include "arguments.h"
#include "handle.h"
#include "kernels/processor.h"

namespace bantam {
namespace {

/// More threads than any machine has cores: each would take memory for its stack.
constexpr int64_t kMostThreads = 4096;

napi_value version(Call& call) { return Napi::String::New(call.env, TORCH_VERSION); }

napi_value build_config(Call& call) { return Napi::String::New(call.env, at::show_config()); }

napi_value cpu_capability(Call& call) { return Napi::String::New(call.env, at::get_cpu_capability()); }

napi_value has_amx(Call& call) { return Napi::Boolean::New(call.env, at::cpu::init_amx()); }

napi_value has_avx512_bf16(Call& call) { return Napi::Boolean::New(call.env, processor_has({"avx512_bf16"})); }

napi_value get_threads(Call& call) { return Napi::Number::New(call.env, at::get_num_threads()); }

napi_value set_threads(Call& call) {
  at::set_num_threads(static_cast<int>(integer_at(call, 0, 1, kMostThreads)));
  return nullptr;
}

/// loadCuda(): libtorch's CUDA operators register themselves when their library loads. → error or null
napi_value load_cuda(Call& call) {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) return Napi::String::New(call.env, dlerror());
  if (!at::hasCUDA()) return Napi::String::New(call.env, "no CUDA device or driver was found");
  return Napi::Env(call.env).Null();
}

}  // namespace

void init_machine(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"version", version},
      {"buildConfig", build_config},
      {"cpuCapability", cpu_capability},
      {"hasAmx", has_amx},
      {"hasAvx512Bf16", has_avx512_bf16},
      {"getThreads", get_threads},
      {"setThreads", set_threads},
      {"loadCuda", load_cuda},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
