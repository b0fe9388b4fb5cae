// Activations and their slopes for 16 numbers at once; only for files compiled for AVX-512.
#pragma once

#include <immintrin.h>

#include "gemm.h"

namespace bantam::gemm {

/// eˣ, relative error below 3e-7: x = n·ln2 + r, eʳ by its Taylor polynomial of degree 6.
static inline __m512 exp16(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-104.0f), _mm512_min_ps(_mm512_set1_ps(88.7f), x));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  // ln2 in two parts, the first with few bits, so that n·ln2 is exact.
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.38888889e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.33333333e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16666667e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66666667e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

/// 1/x for x of moderate size, relative error below 1e-7: an estimate and one step of Newton's.
static inline __m512 reciprocal16(__m512 x) {
  const __m512 y = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0f)));
}

/// σ(x) = 1/(1 + e⁻ˣ)
static inline __m512 sigmoid16(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  return reciprocal16(_mm512_add_ps(one, exp16(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

/// Φ(x) and φ(x) of the normal distribution: Abramowitz and Stegun 7.1.26 for erf(|x|/√2), absolute
/// error below 1.5e-7.
static inline void normal16(__m512 x, __m512& cumulative, __m512& density) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 size = _mm512_abs_ps(x);
  const __m512 bell = exp16(_mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.5f)));
  const __m512 t = reciprocal16(_mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f * 0.70710678f), one));
  __m512 p = _mm512_set1_ps(0.5f * 1.061405429f);
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.5f * -1.453152027f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.5f * 1.421413741f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.5f * -0.284496736f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.5f * 0.254829592f));
  // Φ(−|x|); the other side is its complement.
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), bell);
  const __mmask16 positive = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
  cumulative = _mm512_mask_sub_ps(tail, positive, one, tail);
  density = _mm512_mul_ps(bell, _mm512_set1_ps(0.39894228f));
}

constexpr float kTanhScale = 1.59576912f;  // 2√(2/π): ½(1 + tanh u) = σ(2u)
constexpr float kTanhCubic = 0.044715f;
constexpr float kQuick = 1.702f;

static inline __m512 activate16(Activation activation, __m512 x) {
  switch (activation) {
    case Activation::gelu: {
      __m512 cumulative, density;
      normal16(x, cumulative, density);
      return _mm512_mul_ps(x, cumulative);
    }
    case Activation::gelu_tanh: {
      const __m512 square = _mm512_mul_ps(x, x);
      const __m512 inner = _mm512_fmadd_ps(square, _mm512_set1_ps(kTanhScale * kTanhCubic), _mm512_set1_ps(kTanhScale));
      return _mm512_mul_ps(x, sigmoid16(_mm512_mul_ps(x, inner)));
    }
    case Activation::quick_gelu:
      return _mm512_mul_ps(x, sigmoid16(_mm512_mul_ps(x, _mm512_set1_ps(kQuick))));
    case Activation::relu:
      return _mm512_max_ps(_mm512_setzero_ps(), x);  // in this order NaN stays NaN
    default:
      return x;
  }
}

/// The activation's derivative.
static inline __m512 slope16(Activation activation, __m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  switch (activation) {
    case Activation::gelu: {
      __m512 cumulative, density;
      normal16(x, cumulative, density);
      return _mm512_fmadd_ps(x, density, cumulative);
    }
    case Activation::gelu_tanh: {
      const __m512 square = _mm512_mul_ps(x, x);
      const __m512 inner = _mm512_fmadd_ps(square, _mm512_set1_ps(kTanhScale * kTanhCubic), _mm512_set1_ps(kTanhScale));
      const __m512 gate = sigmoid16(_mm512_mul_ps(x, inner));
      const __m512 inner_slope =
          _mm512_fmadd_ps(square, _mm512_set1_ps(3 * kTanhScale * kTanhCubic), _mm512_set1_ps(kTanhScale));
      const __m512 rest = _mm512_mul_ps(_mm512_mul_ps(x, inner_slope), _mm512_sub_ps(one, gate));
      return _mm512_fmadd_ps(gate, rest, gate);
    }
    case Activation::quick_gelu: {
      const __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(kQuick));
      const __m512 gate = sigmoid16(scaled);
      return _mm512_fmadd_ps(gate, _mm512_mul_ps(scaled, _mm512_sub_ps(one, gate)), gate);
    }
    case Activation::relu:
      return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), one);
    default:
      return one;
  }
}

/// 16 bfloat16 to float32.
static inline __m512 widen16(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/// 32 float32 to bfloat16, to nearest even.
static inline __m512i narrow32(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

}  // namespace bantam::gemm
