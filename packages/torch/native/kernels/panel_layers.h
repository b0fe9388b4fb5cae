// Layers over the products of panels.h: packing, threads, where they apply.
#pragma once

#include <ATen/ATen.h>
#include <c10/util/FunctionRef.h>

#include "gemm.h"
#include "panels.h"

namespace bantam::panels {

/// The panels' shape at this process's level; no lanes where there is no kernel.
Shape shape();

/// Whether a weight [outputs, …] can be packed: float32, or bfloat16 on AVX512-BF16, on the CPU, with outputs
/// that fill vectors.
bool packs(const at::Tensor& weight);

/// The panels of a weight [outputs, inputs] or [outputs, channels, height, width], as one dimension.
at::Tensor pack(const at::Tensor& weight);

/// Outputs of a weight of {@link pack} that has so many inputs, of which so many are side by side; throws where
/// it has not.
int64_t outputs_of(const at::Tensor& packed, int64_t inputs, int64_t segment);

/// Whether a weight is one of {@link pack} or {@link pack_int8}: the only ones of one dimension.
inline bool is_packed(const at::Tensor& weight) { return weight.dim() == 1; }

/// y = activation(x·Wᵀ + bias + residual) for rows without gaps in the weight's type: x [n, inputs], y and
/// residual [n, outputs]. In bfloat16 there is no activation.
void linear_into(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                 const std::optional<at::Tensor>& residual, at::Tensor& y,
                 gemm::Activation activation = gemm::Activation::none);

/// x·Wᵀ + bias + residual for x [*, inputs], in the weight's type.
at::Tensor linear(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                  const std::optional<at::Tensor>& residual = {});

/// A product on the calling thread.
void multiply_here(const Product& product);
void multiply_here(const Bfloat16Product& product);

/// Whether the CPU has a product of int8 panels.
bool has_int8_products();

/// Whether an int8 weight [outputs, inputs] can be packed: the CPU has a product, and outputs and inputs fill
/// its vectors.
bool packs_int8(const at::Tensor& weight);

/// The panels of an int8 weight and the corrections of its outputs, as one dimension.
at::Tensor pack_int8(const at::Tensor& weight);

/// Outputs of a weight of {@link pack_int8} that has so many inputs; throws where it has not.
int64_t int8_outputs(const at::Tensor& packed, int64_t inputs);

/// Told of the sums of a part of a product while they are in the caches: the first of them, and how many lie
/// from one row to the next. Several threads call it at once.
using Finishing = c10::function_ref<void(const Part& part, float* sums, int64_t stride)>;

/// scale·(x − 128)·Wᵀ of x uint8 [n, inputs] and a scale for each output → float32 [n, outputs], what `finish`
/// makes of the sums.
at::Tensor int8_product(const at::Tensor& x, const at::Tensor& packed, const float* scale, Finishing finish);

}  // namespace bantam::panels
