// Linear layers and MLPs on the products of matrix.h. In the build where there is AMX (BANTAM_AMX).
#pragma once

#include <ATen/ATen.h>

namespace bantam::matrix {

/// x·Wᵀ + b + residual, with gradients, where {@link applies} says so.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  const std::optional<at::Tensor>& residual);

/// activation(x·W₁ᵀ + b₁)·W₂ᵀ + b₂ + residual, with gradients, where {@link applies} says so of both.
at::Tensor mlp(const at::Tensor& x, const at::Tensor& weight1, const std::optional<at::Tensor>& bias1,
               const at::Tensor& weight2, const std::optional<at::Tensor>& bias2,
               const std::optional<at::Tensor>& residual, int64_t activation);

}  // namespace bantam::matrix
