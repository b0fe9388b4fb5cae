// Loops that the compiler turns into vector instructions, in a version for each level of level.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "bounds.h"
#include "level.h"

// Of a lambda: part of the function that calls it, in that function's instructions.
#define BANTAM_INLINED __attribute__((always_inline))

namespace bantam {

/// eˣ with a relative error below 2e-7 and no branch, so that loops over it vectorise.
/// x = n·ln2 + r, |r| ≤ ln2/2; eʳ by its Taylor polynomial of degree 7; 2ⁿ by the exponent's bits.
BANTAM_INLINE float simd_exp(float x) {
  x = at_most(at_least(x, -87.0f), 88.0f);
  const float n = std::floor(x * 1.44269504f + 0.5f);
  // ln2 in two parts, the first with few bits, so that n·ln2 is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.98412698e-4f;
  p = p * r + 1.38888889e-3f;
  p = p * r + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

/// float32 to bfloat16 bits, to nearest even; NaN stays NaN.
BANTAM_INLINE uint16_t to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>(nan ? 0x7fc0u : rounded);
}

BANTAM_INLINE float from_bfloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define BANTAM_VERSIONS

template <typename Loop>
__attribute__((target("avx2,fma,bmi,bmi2"))) void run_avx2(Loop loop) {
  loop();
}

template <typename Loop>
__attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi,bmi2"))) void run_avx512(Loop loop) {
  loop();
}
#endif

/// Runs a loop in the version for the level; it is a lambda that is BANTAM_INLINED and captures by value.
template <typename Loop>
inline void vectorized(Loop loop) {
#ifdef BANTAM_VERSIONS
  if (vector_level() >= Level::avx512) return run_avx512(loop);
  if (vector_level() == Level::avx2) return run_avx2(loop);
#endif
  loop();
}

}  // namespace bantam
