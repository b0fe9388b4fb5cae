// Arguments of a call, checked where they cross. `at` counts from 0; messages count from 1.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "guard.h"

namespace bantam {

struct TensorHandle;

/// A value as an int64: a Number or a BigInt that is one exactly. Otherwise nothing.
std::optional<int64_t> whole_number(const Napi::Value& value);

/// A value as it reads in a message.
std::string shown(const Napi::Value& value);

/// The argument; undefined where it was left out.
Napi::Value value_at(const Call& call, size_t at);

TensorHandle& handle_at(const Call& call, size_t at);
const at::Tensor& tensor_at(const Call& call, size_t at);
std::vector<at::Tensor> tensors_at(const Call& call, size_t at);
/// Like tensors_at, with null for an undefined tensor.
std::vector<at::Tensor> optional_tensors_at(const Call& call, size_t at);
at::Generator generator_at(const Call& call, size_t at);

bool boolean_at(const Call& call, size_t at);
int64_t integer_at(const Call& call, size_t at, int64_t least, int64_t most);
std::string string_at(const Call& call, size_t at);
/// A BigInt from 0 to 2⁶⁴ − 1.
uint64_t bits_at(const Call& call, size_t at);
Napi::Array array_at(const Call& call, size_t at);
Napi::Function function_at(const Call& call, size_t at);
/// The number of an element type that `@bantam/torch` knows.
at::ScalarType dtype_at(const Call& call, size_t at);
/// Sizes of a tensor's dimensions, none of them negative.
std::vector<int64_t> sizes_at(const Call& call, size_t at);

}  // namespace bantam
