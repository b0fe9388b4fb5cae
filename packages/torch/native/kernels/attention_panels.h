// Attention in float32, for inference.
#pragma once

#include <ATen/ATen.h>

namespace bantam::attention_panels {

/// Whether {@link attention} applies to a projection [B, L, 3·W] under so many heads.
bool applies(const at::Tensor& qkv, int64_t heads);

/// softmax(q·kᵀ/√d)·v per head from the joint projection of q, k and v → [B, L, W]; no gradients.
at::Tensor attention(const at::Tensor& qkv, int64_t heads, bool causal);

}  // namespace bantam::attention_panels
