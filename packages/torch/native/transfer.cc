// Data between typed arrays and tensors.
#include <ATen/ATen.h>

#include <cstring>
#include <memory>

#include "arguments.h"
#include "device.h"
#include "handle.h"
#include "program.h"

namespace bantam {
namespace {

/// The bytes of a typed array (over an ArrayBuffer or a SharedArrayBuffer).
struct Bytes {
  void* data;
  size_t size;
};

Bytes bytes_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(call.env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throw WrongType("argument " + std::to_string(at + 1) + " must be a typed array, not " + shown(value));
  }
  return {data, length * value.As<Napi::TypedArray>().ElementSize()};
}

/// Bytes that a tensor of this shape takes.
size_t bytes_of(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  auto bytes = static_cast<int64_t>(c10::elementSize(dtype));
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) throw OutOfRange("the shape has more elements than can be counted");
  }
  return static_cast<size_t>(bytes);
}

/// fromTypedArray(array, shape, dtype, copy, device?): with copy false the tensor shares the array's memory.
/// Copies to an accelerator go through pinned memory, so that nobody waits for them.
napi_value from_typed_array(Call& call) {
  const auto shape = sizes_at(call, 1);
  const auto dtype = dtype_at(call, 2);
  const bool copy = boolean_at(call, 3);
  const auto device = value_at(call, 4).IsUndefined() ? c10::Device(c10::kCPU) : c10::Device(string_at(call, 4));
  // Last, as reading the shape may have run JavaScript that changed the array.
  const auto bytes = bytes_at(call, 0);
  const size_t needed = bytes_of(shape, dtype);
  if (needed != bytes.size) {
    throw OutOfRange("the array has " + std::to_string(bytes.size) + " bytes, but its shape and dtype need " +
                     std::to_string(needed));
  }
  if (copy || !device.is_cpu()) {
    auto tensor = at::empty(shape, at::TensorOptions(dtype).pinned_memory(takes_pinned_memory(device)));
    if (bytes.size > 0) std::memcpy(tensor.mutable_data_ptr(), bytes.data, bytes.size);
    if (!device.is_cpu()) tensor = tensor.to(device, /*non_blocking=*/takes_pinned_memory(device));
    return wrap_tensor(call.env, std::move(tensor));
  }
  if (reinterpret_cast<uintptr_t>(bytes.data) % c10::elementSize(dtype) != 0) {
    throw OutOfRange("the array does not begin at a multiple of its elements' size, so its memory cannot be shared");
  }
  auto keep = std::make_shared<Napi::Reference<Napi::Value>>(Napi::Persistent(value_at(call, 0)));
  auto tensor = at::from_blob(bytes.data, shape, [keep](void*) mutable { keep.reset(); }, dtype);
  return wrap_tensor(call.env, std::move(tensor));
}

/// copyToBuffer(tensor) → a new ArrayBuffer with the elements in row-major order.
napi_value copy_to_buffer(Call& call) {
  note_read(tensor_at(call, 0));
  const auto tensor = tensor_at(call, 0).detach().cpu().contiguous();
  auto buffer = Napi::ArrayBuffer::New(call.env, tensor.nbytes());
  if (tensor.nbytes() > 0) std::memcpy(buffer.Data(), tensor.const_data_ptr(), tensor.nbytes());
  return buffer;
}

}  // namespace

void init_transfer(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {{"fromTypedArray", from_typed_array}, {"copyToBuffer", copy_to_buffer}};
  add_entries(env, exports, entries);
}

}  // namespace bantam
