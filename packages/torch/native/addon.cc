// @bantam/torch's native addon: libtorch through its dispatcher.
#include "allocator.h"
#include "handle.h"
#include "meta.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  bantam::install_allocator();
  bantam::install_meta_allocator();
  bantam::init_handle(env, exports);
  bantam::init_dispatch(env, exports);
  bantam::init_autograd(env, exports);
  bantam::init_checkpoint(env, exports);
  bantam::init_random(env, exports);
  bantam::init_transfer(env, exports);
  bantam::init_memory(env, exports);
  bantam::init_profile(env, exports);
  bantam::init_machine(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(bantam_torch, init)
