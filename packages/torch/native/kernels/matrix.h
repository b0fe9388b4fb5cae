// The products of gemm.h for tensors: what linear layers need, forward and backward.
#pragma once

#include <ATen/ATen.h>

#include "gemm.h"

namespace bantam::matrix {

/// Whether the fast products apply: the level of AMX, the CPU, and bfloat16 as the type to compute in, be it by
/// autocast or because everything is bfloat16.
bool applies(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
             const std::optional<at::Tensor>& residual);

/// y = activation(x·Wᵀ + b + residual), with the sum in brackets in `pre` where that is defined.
void forward(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
             const std::optional<at::Tensor>& residual, at::Tensor& y,
             gemm::Activation activation = gemm::Activation::none, const at::Tensor& pre = {});

/// dx = dy·W ⊙ activation′(pre)
at::Tensor backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::TensorOptions& options,
                          gemm::Activation activation = gemm::Activation::none, const at::Tensor& pre = {});

/// dW = dyᵀ·activation(x) and, where there is a bias, db = Σ dy over the rows.
std::tuple<at::Tensor, at::Tensor> backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                                                   const at::Tensor& bias, gemm::Activation activation);

}  // namespace bantam::matrix
