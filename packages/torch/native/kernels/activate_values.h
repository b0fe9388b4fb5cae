// Activations of bfloat16 numbers, for CPUs with AVX512-BF16; only plain C headers here and in
// files that include it.
#pragma once

#include "gemm.h"

namespace bantam {

/// y = act(x) for `count` bfloat16 numbers; x and y may be the same.
void activate_values(gemm::Activation activation, const uint16_t* x, uint16_t* y, int64_t count);

/// values = values ⊙ act′(x) for `count` bfloat16 numbers.
void multiply_by_slope(gemm::Activation activation, const uint16_t* x, uint16_t* values, int64_t count);

}  // namespace bantam
