// Tensors and generators as JavaScript sees them: opaque externals that own one reference each.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <atomic>
#include <cstdint>

#include "guard.h"

namespace bantam {

/// What an external points to; the tag turns a wrong argument into an error instead of a crash.
enum class Tag : uint32_t { kTensor = 0xBA47A3u, kGenerator = 0xBA47A4u, kProgram = 0xBA47A5u };

struct TensorHandle {
  Tag tag = Tag::kTensor;
  at::Tensor tensor;
  int64_t held_bytes = 0;  // what this handle keeps alive, for V8
};

struct GeneratorHandle {
  Tag tag = Tag::kGenerator;
  at::Generator generator;
};

/// Number of tensors that JavaScript holds and has not released.
extern std::atomic<int64_t> live_tensors;

/// Wraps a tensor; an undefined tensor becomes null.
Napi::Value wrap_tensor(Napi::Env env, at::Tensor tensor);
Napi::Value wrap_generator(Napi::Env env, at::Generator generator);

/// The other way, for a value that must be such an external.
TensorHandle& tensor_handle(const Napi::Value& value);
const at::Tensor& unwrap_tensor(const Napi::Value& value);
const at::Generator& unwrap_generator(const Napi::Value& value);

void init_handle(napi_env env, napi_value exports);
void init_dispatch(napi_env env, napi_value exports);
void init_autograd(napi_env env, napi_value exports);
void init_checkpoint(napi_env env, napi_value exports);
void init_program(napi_env env, napi_value exports);
void init_random(napi_env env, napi_value exports);
void init_transfer(napi_env env, napi_value exports);
void init_memory(napi_env env, napi_value exports);
void init_profile(napi_env env, napi_value exports);
void init_machine(napi_env env, napi_value exports);
void init_device(napi_env env, napi_value exports);
void init_distributed(napi_env env, napi_value exports);

}  // namespace bantam
