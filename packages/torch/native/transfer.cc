// Data between typed arrays and tensors.
#include <ATen/ATen.h>

#include <cstring>
#include <memory>

#include "handle.h"

namespace bantam {
namespace {

/// The bytes of a typed array (over an ArrayBuffer or a SharedArrayBuffer).
struct Bytes {
  void* data;
  size_t size;
};

Bytes bytes_of(const Napi::Value& value) {
  auto array = value.As<Napi::TypedArray>();
  void* data = nullptr;
  size_t length = 0;
  napi_typedarray_type type;
  if (napi_get_typedarray_info(value.Env(), array, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throw Napi::TypeError::New(value.Env(), "expected a typed array");
  }
  return {data, length * array.ElementSize()};
}

/// fromTypedArray(array, shape, dtype, copy): with copy false the tensor shares the array's memory.
Napi::Value from_typed_array(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  return guarded(env, "fromTypedArray", [&]() -> Napi::Value {
    auto bytes = bytes_of(info[0]);
    auto dims = info[1].As<Napi::Array>();
    std::vector<int64_t> shape;
    int64_t elements = 1;
    for (uint32_t i = 0; i < dims.Length(); ++i) {
      shape.push_back(dims.Get(i).As<Napi::Number>().Int64Value());
      elements *= shape.back();
    }
    const auto dtype = static_cast<at::ScalarType>(info[2].As<Napi::Number>().Int32Value());
    if (elements * static_cast<int64_t>(c10::elementSize(dtype)) != static_cast<int64_t>(bytes.size)) {
      throw Napi::RangeError::New(env, "fromTypedArray: the array has " + std::to_string(bytes.size) +
                                           " bytes, but its shape and dtype need " +
                                           std::to_string(elements * c10::elementSize(dtype)));
    }
    if (info[3].As<Napi::Boolean>().Value()) {
      auto tensor = at::empty(shape, dtype);
      if (bytes.size > 0) std::memcpy(tensor.mutable_data_ptr(), bytes.data, bytes.size);
      return wrap_tensor(env, std::move(tensor));
    }
    auto keep = std::make_shared<Napi::Reference<Napi::Value>>(Napi::Persistent(info[0]));
    auto tensor = at::from_blob(bytes.data, shape, [keep](void*) mutable { keep.reset(); }, dtype);
    return wrap_tensor(env, std::move(tensor));
  });
}

/// copyToBuffer(tensor) → a new ArrayBuffer with the elements in row-major order.
Napi::Value copy_to_buffer(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  return guarded(env, "copyToBuffer", [&]() -> Napi::Value {
    auto tensor = unwrap_tensor(info[0]).detach().cpu().contiguous();
    auto buffer = Napi::ArrayBuffer::New(env, tensor.nbytes());
    if (tensor.nbytes() > 0) std::memcpy(buffer.Data(), tensor.const_data_ptr(), tensor.nbytes());
    return buffer;
  });
}

}  // namespace

void init_transfer(Napi::Env env, Napi::Object exports) {
  exports["fromTypedArray"] = Napi::Function::New(env, from_typed_array);
  exports["copyToBuffer"] = Napi::Function::New(env, copy_to_buffer);
}

}  // namespace bantam
