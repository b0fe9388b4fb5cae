// Layers over the products of panels.h: packing, threads, where they apply.
#pragma once

#include <ATen/ATen.h>

#include "panels.h"

namespace bantam::panels {

/// The panels' shape at this process's level; no lanes where there is no kernel.
Shape shape();

/// Whether a weight [outputs, …] can be packed: float32 on the CPU, with outputs that fill vectors.
bool packs(const at::Tensor& weight);

/// The panels of a weight [outputs, inputs] or [outputs, channels, height, width], as one dimension.
at::Tensor pack(const at::Tensor& weight);

/// Outputs of a weight of {@link pack} that has so many inputs; throws where it has not.
int64_t outputs_of(const at::Tensor& packed, int64_t inputs);

/// Whether a weight is one of {@link pack} or {@link pack_int8}: the only ones of one dimension.
inline bool is_packed(const at::Tensor& weight) { return weight.dim() == 1; }

/// y = x·Wᵀ + bias + residual for rows without gaps, all float32: x [n, inputs], y and residual [n, outputs].
void linear_into(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                 const std::optional<at::Tensor>& residual, at::Tensor& y);

/// x·Wᵀ + bias + residual for float32 x [*, inputs].
at::Tensor linear(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                  const std::optional<at::Tensor>& residual = {});

/// A product on the calling thread.
void multiply_here(const Product& product);

/// Whether the CPU has a product of int8 panels.
bool has_int8_products();

/// Whether an int8 weight [outputs, inputs] can be packed: the CPU has a product, and outputs and inputs fill
/// its vectors.
bool packs_int8(const at::Tensor& weight);

/// The panels of an int8 weight and the corrections of its outputs, as one dimension.
at::Tensor pack_int8(const at::Tensor& weight);

/// Outputs of a weight of {@link pack_int8} that has so many inputs; throws where it has not.
int64_t int8_outputs(const at::Tensor& packed, int64_t inputs);

/// scale·(x − 128)·Wᵀ: x uint8 [n, inputs], scale float32 [outputs] → float32 [n, outputs].
at::Tensor int8_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& scale);

}  // namespace bantam::panels
