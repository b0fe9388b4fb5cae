// @bantam/torch's native addon: libtorch through its dispatcher.
#include <c10/util/Exception.h>

#include <mutex>

#include "allocator.h"
#include "handle.h"
#include "meta.h"
#include "nvidia.h"

namespace bantam {
namespace {

/// Every worker thread loads the addon; libtorch's settings are those of the process.
std::once_flag process_is_set_up;

void init(napi_env env, napi_value exports) {
  std::call_once(process_is_set_up, [] {
    install_allocator();
    install_meta_allocator();
    load_cuda_with_driver();
  });
  init_handle(env, exports);
  init_dispatch(env, exports);
  init_autograd(env, exports);
  init_checkpoint(env, exports);
  init_program(env, exports);
  init_random(env, exports);
  init_transfer(env, exports);
  init_memory(env, exports);
  init_profile(env, exports);
  init_machine(env, exports);
  init_device(env, exports);
  init_nvidia(env, exports);
  init_distributed(env, exports);
}

}  // namespace

void throw_in_javascript(napi_env env, const std::string& name, const std::exception& error) {
  if (const auto* thrown = dynamic_cast<const Napi::Error*>(&error)) {
    napi_throw(env, thrown->Value());  // what a callback threw stays the same object
  } else if (const auto* failure = dynamic_cast<const c10::Error*>(&error)) {
    throw_message(env, name + ": " + failure->what_without_backtrace());
  } else {
    throw_message(env, name + ": " + error.what());
  }
}

}  // namespace bantam

NAPI_MODULE_INIT() { return bantam::guarded_init(env, exports, bantam::init); }
