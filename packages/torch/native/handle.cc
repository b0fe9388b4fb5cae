#include "handle.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <memory>

#include "arguments.h"

namespace bantam {

std::atomic<int64_t> live_tensors{0};

namespace {

constexpr int64_t kWindow = int64_t{256} << 20;

/// Tells V8 how much memory its tensors keep alive. Every rise makes it collect garbage, so tensors
/// that a scope frees soon are not mentioned: what counts is the least that was held while new
/// tensors of half of what is held, and 256 MB more, came along.
class HeldMemory {
 public:
  void change(napi_env env, int64_t bytes) {
    held_ += bytes;
    least_ = std::min(least_, held_);
    if (bytes > 0) made_ += bytes;
    if (made_ < kWindow + held_ / 2) return;
    // Also called while a worker ends, when Node takes no more: V8 need not know then.
    int64_t adjusted = 0;
    if (least_ != reported_) napi_adjust_external_memory(env, least_ - reported_, &adjusted);
    reported_ = least_;
    least_ = held_;
    made_ = 0;
  }

 private:
  int64_t held_ = 0, least_ = 0, made_ = 0, reported_ = 0;
};

/// Each worker thread has a V8 of its own.
thread_local HeldMemory held_memory;

void release(napi_env env, TensorHandle& handle) {
  if (!handle.tensor.defined()) return;
  handle.tensor.reset();
  live_tensors -= 1;
  held_memory.change(env, -handle.held_bytes);
  handle.held_bytes = 0;
}

template <typename Handle>
Handle& checked(const Napi::Value& value, Tag tag, const char* expected) {
  if (value.IsExternal()) {
    auto* handle = value.As<Napi::External<Handle>>().Data();
    if (handle != nullptr && handle->tag == tag) return *handle;
  }
  throw WrongType(std::string("expected a ") + expected + ", not " + shown(value));
}

napi_value dispose(Call& call) {
  release(call.env, handle_at(call, 0));
  return nullptr;
}

napi_value shape(Call& call) {
  const auto sizes = tensor_at(call, 0).sizes();
  auto result = Napi::Array::New(call.env, sizes.size());
  for (uint32_t i = 0; i < sizes.size(); ++i) result[i] = static_cast<double>(sizes[i]);
  return result;
}

napi_value dtype(Call& call) {
  return Napi::Number::New(call.env, static_cast<int>(tensor_at(call, 0).scalar_type()));
}

napi_value device(Call& call) { return Napi::String::New(call.env, tensor_at(call, 0).device().str()); }

napi_value is_contiguous(Call& call) { return Napi::Boolean::New(call.env, tensor_at(call, 0).is_contiguous()); }

}  // namespace

Napi::Value wrap_tensor(Napi::Env env, at::Tensor tensor) {
  if (!tensor.defined()) return env.Null();
  auto handle = std::make_unique<TensorHandle>(TensorHandle{Tag::kTensor, std::move(tensor)});
  // A view keeps memory alive that its base counts already, so only sole owners count.
  if (handle->tensor.has_storage()) {
    const auto& storage = handle->tensor.storage();
    if (storage && storage.use_count() == 1) handle->held_bytes = static_cast<int64_t>(storage.nbytes());
  }
  auto external = Napi::External<TensorHandle>::New(env, handle.get(), [](Napi::Env env, TensorHandle* handle) {
    release(env, *handle);
    delete handle;
  });
  live_tensors += 1;
  if (handle->held_bytes > 0) held_memory.change(env, handle->held_bytes);
  handle.release();  // now the external's
  return external;
}

Napi::Value wrap_generator(Napi::Env env, at::Generator generator) {
  auto handle = std::make_unique<GeneratorHandle>(GeneratorHandle{Tag::kGenerator, std::move(generator)});
  auto external = Napi::External<GeneratorHandle>::New(env, handle.get(), [](Napi::Env, GeneratorHandle* h) { delete h; });
  handle.release();
  return external;
}

TensorHandle& tensor_handle(const Napi::Value& value) { return checked<TensorHandle>(value, Tag::kTensor, "tensor"); }

const at::Tensor& unwrap_tensor(const Napi::Value& value) {
  const auto& tensor = tensor_handle(value).tensor;
  if (!tensor.defined()) throw WrongType("the tensor was disposed before this use");
  return tensor;
}

const at::Generator& unwrap_generator(const Napi::Value& value) {
  return checked<GeneratorHandle>(value, Tag::kGenerator, "generator").generator;
}

void init_handle(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"dispose", dispose},         {"shape", shape}, {"dtype", dtype}, {"device", device},
      {"isContiguous", is_contiguous},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
