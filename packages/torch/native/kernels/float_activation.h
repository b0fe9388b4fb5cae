// Activations of float32 numbers, in loops that become vector instructions. Only plain C headers here.
#pragma once

#include <cmath>
#include <cstdint>

#include "gemm.h"
#include "simd.h"

namespace bantam {

/// 1/(1 + e⁻ˣ)
BANTAM_INLINE float sigmoid(float x) { return 1 / (1 + simd_exp(-x)); }

/// erf(x) with an error below 2e-7 (Abramowitz and Stegun 1964, 7.1.26).
BANTAM_INLINE float erf_of(float x) {
  const float size = std::fabs(x), t = 1 / (1 + 0.3275911f * size);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  return std::copysign(1 - p * t * simd_exp(-size * size), x);
}

template <gemm::Activation activation>
BANTAM_INLINE float activated_number(float x) {
  using gemm::Activation;
  if constexpr (activation == Activation::gelu) return 0.5f * x * (1 + erf_of(x * 0.70710678f));
  if constexpr (activation == Activation::gelu_tanh) return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
  if constexpr (activation == Activation::quick_gelu) return x * sigmoid(1.702f * x);
  if constexpr (activation == Activation::relu) return at_least(x, 0);
  return x;
}

template <gemm::Activation activation>
void activate_all(float* values, int64_t rows, int64_t width, int64_t stride) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t row = 0; row < rows; ++row) {
      float* const x = values + row * stride;
      for (int64_t i = 0; i < width; ++i) x[i] = activated_number<activation>(x[i]);
    }
  });
}

/// values = activation(values) in rows of `width` numbers, with `stride` from one to the next.
inline void activate_floats(gemm::Activation activation, float* values, int64_t rows, int64_t width, int64_t stride) {
  using gemm::Activation;
  switch (activation) {
    case Activation::gelu:
      return activate_all<Activation::gelu>(values, rows, width, stride);
    case Activation::gelu_tanh:
      return activate_all<Activation::gelu_tanh>(values, rows, width, stride);
    case Activation::quick_gelu:
      return activate_all<Activation::quick_gelu>(values, rows, width, stride);
    case Activation::relu:
      return activate_all<Activation::relu>(values, rows, width, stride);
    default:
      return;
  }
}

}  // namespace bantam
