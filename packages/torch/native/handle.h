// Tensors and generators as JavaScript sees them: opaque externals that own one reference each.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace bantam {

/// What an external points to; the tag turns a wrong argument into an error instead of a crash.
enum class Tag : uint32_t { kTensor = 0xBA47A3u, kGenerator = 0xBA47A4u };

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
TensorHandle* tensor_handle(const Napi::Value& value);
const at::Tensor& unwrap_tensor(const Napi::Value& value);
/// The tensors of an array; null is an undefined one.
std::vector<at::Tensor> unwrap_list(const Napi::Value& value);
at::Generator unwrap_generator(const Napi::Value& value);

/// Runs native work and rethrows its failure as a JavaScript Error with libtorch's own text.
template <typename Work>
auto guarded(Napi::Env env, const char* what, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (const c10::Error& error) {
    throw Napi::Error::New(env, std::string(what) + ": " + error.what_without_backtrace());
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, std::string(what) + ": " + error.what());
  }
}

void init_handle(Napi::Env env, Napi::Object exports);
void init_dispatch(Napi::Env env, Napi::Object exports);
void init_autograd(Napi::Env env, Napi::Object exports);
void init_checkpoint(Napi::Env env, Napi::Object exports);
void init_random(Napi::Env env, Napi::Object exports);
void init_transfer(Napi::Env env, Napi::Object exports);
void init_memory(Napi::Env env, Napi::Object exports);
void init_profile(Napi::Env env, Napi::Object exports);
void init_machine(Napi::Env env, Napi::Object exports);

}  // namespace bantam
