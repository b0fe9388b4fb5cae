// Loops that the compiler turns into vector instructions of the widest kind the processor has.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// One clone of a function per instruction set; the loader takes the best at its first call.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define BANTAM_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BANTAM_SIMD
#endif

#define BANTAM_INLINE __attribute__((always_inline)) inline

namespace bantam {

/// eˣ with a relative error below 2e-7 and no branch, so that loops over it vectorise.
/// x = n·ln2 + r, |r| ≤ ln2/2; eʳ by its Taylor polynomial of degree 7; 2ⁿ by the exponent's bits.
BANTAM_INLINE float simd_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
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

}  // namespace bantam
