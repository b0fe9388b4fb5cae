#include "handle.h"

#include <c10/core/ScalarType.h>

#include <algorithm>

namespace bantam {

std::atomic<int64_t> live_tensors{0};

namespace {

constexpr int64_t kWindow = int64_t{256} << 20;

/// Tells V8 how much memory its tensors keep alive. Every rise makes it collect garbage, so tensors
/// that a scope frees soon are not mentioned: what counts is the least that was held while new
/// tensors of half of what is held, and 256 MB more, came along.
class HeldMemory {
 public:
  void change(Napi::Env env, int64_t bytes) {
    held_ += bytes;
    least_ = std::min(least_, held_);
    if (bytes > 0) made_ += bytes;
    if (made_ < kWindow + held_ / 2) return;
    if (least_ != reported_) Napi::MemoryManagement::AdjustExternalMemory(env, least_ - reported_);
    reported_ = least_;
    least_ = held_;
    made_ = 0;
  }

 private:
  int64_t held_ = 0, least_ = 0, made_ = 0, reported_ = 0;
};

/// Each worker thread has a V8 of its own.
thread_local HeldMemory held_memory;

void release(Napi::Env env, TensorHandle* handle) {
  if (!handle->tensor.defined()) return;
  handle->tensor.reset();
  live_tensors -= 1;
  held_memory.change(env, -handle->held_bytes);
  handle->held_bytes = 0;
}

template <typename Handle>
Handle* checked(const Napi::Value& value, Tag tag, const char* expected) {
  if (value.IsExternal()) {
    auto* handle = value.As<Napi::External<Handle>>().Data();
    if (handle != nullptr && handle->tag == tag) return handle;
  }
  throw Napi::TypeError::New(value.Env(), std::string("expected a ") + expected);
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  release(info.Env(), tensor_handle(info[0]));
  return info.Env().Undefined();
}

Napi::Value shape(const Napi::CallbackInfo& info) {
  auto sizes = unwrap_tensor(info[0]).sizes();
  auto result = Napi::Array::New(info.Env(), sizes.size());
  for (uint32_t i = 0; i < sizes.size(); ++i) result[i] = static_cast<double>(sizes[i]);
  return result;
}

Napi::Value dtype(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<int>(unwrap_tensor(info[0]).scalar_type()));
}

Napi::Value device(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), unwrap_tensor(info[0]).device().str());
}

Napi::Value is_contiguous(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), unwrap_tensor(info[0]).is_contiguous());
}

}  // namespace

Napi::Value wrap_tensor(Napi::Env env, at::Tensor tensor) {
  if (!tensor.defined()) return env.Null();
  auto* handle = new TensorHandle{Tag::kTensor, std::move(tensor)};
  live_tensors += 1;
  // A view keeps memory alive that its base counts already, so only sole owners count.
  if (handle->tensor.has_storage()) {
    const auto& storage = handle->tensor.storage();
    if (storage && storage.use_count() == 1) {
      handle->held_bytes = static_cast<int64_t>(storage.nbytes());
      held_memory.change(env, handle->held_bytes);
    }
  }
  return Napi::External<TensorHandle>::New(env, handle, [](Napi::Env env, TensorHandle* handle) {
    release(env, handle);
    delete handle;
  });
}

TensorHandle* tensor_handle(const Napi::Value& value) {
  return checked<TensorHandle>(value, Tag::kTensor, "tensor");
}

const at::Tensor& unwrap_tensor(const Napi::Value& value) {
  const auto& tensor = tensor_handle(value)->tensor;
  if (!tensor.defined()) throw Napi::Error::New(value.Env(), "the tensor was disposed before this use");
  return tensor;
}

std::vector<at::Tensor> unwrap_list(const Napi::Value& value) {
  auto array = value.As<Napi::Array>();
  std::vector<at::Tensor> tensors;
  tensors.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::Value item = array.Get(i);
    tensors.push_back(item.IsNull() ? at::Tensor() : unwrap_tensor(item));
  }
  return tensors;
}

at::Generator unwrap_generator(const Napi::Value& value) {
  return checked<GeneratorHandle>(value, Tag::kGenerator, "generator")->generator;
}

void init_handle(Napi::Env env, Napi::Object exports) {
  exports["dispose"] = Napi::Function::New(env, dispose);
  exports["shape"] = Napi::Function::New(env, shape);
  exports["dtype"] = Napi::Function::New(env, dtype);
  exports["device"] = Napi::Function::New(env, device);
  exports["isContiguous"] = Napi::Function::New(env, is_contiguous);
}

}  // namespace bantam
