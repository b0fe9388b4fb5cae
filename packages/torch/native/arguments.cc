#include "arguments.h"

#include <cmath>

#include "handle.h"

namespace bantam {
namespace {

[[noreturn]] void fail(size_t at, const std::string& expected, const Napi::Value& value) {
  throw WrongType("argument " + std::to_string(at + 1) + " must be " + expected + ", not " + shown(value));
}

std::vector<at::Tensor> list_at(const Call& call, size_t at, bool takes_null) {
  const auto array = array_at(call, at);
  std::vector<at::Tensor> tensors;
  tensors.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    tensors.push_back(takes_null && item.IsNull() ? at::Tensor() : unwrap_tensor(item));
  }
  return tensors;
}

}  // namespace

std::optional<int64_t> whole_number(const Napi::Value& value) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const int64_t integer = value.As<Napi::BigInt>().Int64Value(&lossless);
    return lossless ? std::optional(integer) : std::nullopt;
  }
  if (!value.IsNumber()) return std::nullopt;
  const double number = value.As<Napi::Number>().DoubleValue();
  constexpr double kLimit = 9223372036854775808.0;  // 2⁶³
  if (!(number >= -kLimit && number < kLimit) || std::trunc(number) != number) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::string shown(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_number:
    case napi_boolean:
    case napi_bigint:
      return value.ToString().Utf8Value();
    case napi_string:
      return "a string";
    case napi_function:
      return "a function";
    case napi_external:
      return "a tensor or generator";
    default:
      return value.IsArray() ? "an array" : "an object";
  }
}

Napi::Value value_at(const Call& call, size_t at) {
  if (at >= call.arguments.size()) return Napi::Env(call.env).Undefined();
  return {call.env, call.arguments[at]};
}

TensorHandle& handle_at(const Call& call, size_t at) { return tensor_handle(value_at(call, at)); }

const at::Tensor& tensor_at(const Call& call, size_t at) { return unwrap_tensor(value_at(call, at)); }

std::vector<at::Tensor> tensors_at(const Call& call, size_t at) { return list_at(call, at, false); }

std::vector<at::Tensor> optional_tensors_at(const Call& call, size_t at) { return list_at(call, at, true); }

at::Generator generator_at(const Call& call, size_t at) { return unwrap_generator(value_at(call, at)); }

bool boolean_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  if (!value.IsBoolean()) fail(at, "true or false", value);
  return value.As<Napi::Boolean>().Value();
}

int64_t integer_at(const Call& call, size_t at, int64_t least, int64_t most) {
  const auto value = value_at(call, at);
  const auto integer = whole_number(value);
  if (!integer) fail(at, "a whole number", value);
  if (*integer < least || *integer > most) {
    throw OutOfRange("argument " + std::to_string(at + 1) + " must be from " + std::to_string(least) + " to " +
                     std::to_string(most) + ", not " + std::to_string(*integer));
  }
  return *integer;
}

std::string string_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  if (!value.IsString()) fail(at, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

uint64_t bits_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  if (!value.IsBigInt()) fail(at, "a BigInt", value);
  bool lossless = false;
  const uint64_t bits = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) throw OutOfRange("argument " + std::to_string(at + 1) + " must be from 0 to 2⁶⁴ − 1");
  return bits;
}

Napi::Array array_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  if (!value.IsArray()) fail(at, "an array", value);
  return value.As<Napi::Array>();
}

Napi::Function function_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  if (!value.IsFunction()) fail(at, "a function", value);
  return value.As<Napi::Function>();
}

at::ScalarType dtype_at(const Call& call, size_t at) {
  const auto type = static_cast<at::ScalarType>(integer_at(call, at, 0, static_cast<int>(at::kBFloat16)));
  switch (type) {
    case at::kByte:
    case at::kChar:
    case at::kShort:
    case at::kInt:
    case at::kLong:
    case at::kHalf:
    case at::kFloat:
    case at::kDouble:
    case at::kBool:
    case at::kBFloat16:
      return type;
    default:
      throw OutOfRange("argument " + std::to_string(at + 1) + " is no element type: " +
                       std::to_string(static_cast<int>(type)));
  }
}

std::vector<int64_t> sizes_at(const Call& call, size_t at) {
  const auto array = array_at(call, at);
  std::vector<int64_t> sizes;
  sizes.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    const auto size = whole_number(item);
    if (!size || *size < 0) {
      throw OutOfRange("the shape must hold whole numbers from 0, not " + shown(item));
    }
    sizes.push_back(*size);
  }
  return sizes;
}

}  // namespace bantam
