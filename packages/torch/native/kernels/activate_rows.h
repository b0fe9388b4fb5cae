// Activations of bfloat16 numbers in their place, for processors with AVX512-BF16; only plain C headers
// here and in files that include it.
#pragma once

#include "gemm.h"

namespace bantam {

/// x = activation(x) for `count` bfloat16 numbers.
void activate_values(gemm::Activation activation, uint16_t* values, int64_t count);

}  // namespace bantam
