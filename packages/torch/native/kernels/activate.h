// Activations under their numbers in our own operators: by a kernel of ours for bfloat16 on AVX512-BF16,
// whose rounding hides the kernel's error, and by libtorch's operators elsewhere.
#pragma once

#include <ATen/ATen.h>

#include "gemm.h"

namespace bantam {

/// act(x) by libtorch's operators, with gradients.
at::Tensor activate(const at::Tensor& x, gemm::Activation activation);

/// act(x), without gradients.
at::Tensor activated(const at::Tensor& x, gemm::Activation activation);

/// act(x) in the memory of x, where that can be; without gradients.
at::Tensor activated_in_place(at::Tensor x, gemm::Activation activation);

/// gradient ⊙ act′(x), perhaps in the memory of `gradient`; without gradients of its own.
at::Tensor activation_gradient(at::Tensor gradient, const at::Tensor& x, gemm::Activation activation);

}  // namespace bantam
