// Version and machine of libtorch.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
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

/// instructionLevel() → one of kLevelNames
napi_value instruction_level(Call& call) {
  return Napi::String::New(call.env, kLevelNames[static_cast<int>(level())]);
}

/// instructionLimitError() → a sentence, or an empty string
napi_value instruction_limit_error(Call& call) { return Napi::String::New(call.env, limit_error()); }

napi_value get_threads(Call& call) { return Napi::Number::New(call.env, at::get_num_threads()); }

napi_value set_threads(Call& call) {
  at::set_num_threads(static_cast<int>(integer_at(call, 0, 1, kMostThreads)));
  return nullptr;
}

}  // namespace

void init_machine(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"version", version},
      {"buildConfig", build_config},
      {"cpuCapability", cpu_capability},
      {"instructionLevel", instruction_level},
      {"instructionLimitError", instruction_limit_error},
      {"getThreads", get_threads},
      {"setThreads", set_threads},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
