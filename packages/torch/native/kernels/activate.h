// Activations by libtorch's operators, under their numbers in our own.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "gemm.h"

namespace bantam {

inline at::Tensor activate(const at::Tensor& x, gemm::Activation activation) {
  static auto quick_gelu = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("bantam::quick_gelu", "")
                               .typed<at::Tensor(const at::Tensor&)>();
  switch (activation) {
    case gemm::Activation::gelu:
      return at::gelu(x);
    case gemm::Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case gemm::Activation::quick_gelu:
      return quick_gelu.call(x);
    case gemm::Activation::relu:
      return at::relu(x);
    default:
      return x;
  }
}

}  // namespace bantam
