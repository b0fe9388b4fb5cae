// Activations and their slopes for 16 numbers at once; only for files compiled for AVX-512.
#pragma once

#include <immintrin.h>
#include <math.h>

#include "bounds.h"
#include "gemm.h"

namespace bantam::gemm {
namespace {

/// The gate g of an activation x·g(x), or the activation's slope. Both have f(−x) = 1 − f(x), so the
/// side x ≤ 0 is kept: for each of 32 intervals of −x the cubic through four points of the curve.
/// Absolute error below 4e-6; x beyond the last interval has the value at its end.
struct Curve {
  alignas(64) float coefficients[4][32];
  float limit;  // the end of the last interval

  /// Interpolates at Chebyshev's points, where the largest error is smallest.
  Curve(double (*curve)(double), double end) : limit(static_cast<float>(end)) {
    const double width = end / 32;
    for (int i = 0; i < 32; ++i) {
      double at[4], value[4];
      for (int j = 0; j < 4; ++j) {
        at[j] = 0.5 - 0.5 * cos((2 * j + 1) * 3.14159265358979323846 / 8);
        value[j] = curve(-(i + at[j]) * width);
      }
      // Newton's divided differences, then in powers of the place within the interval.
      for (int order = 1; order < 4; ++order) {
        for (int j = 3; j >= order; --j) value[j] = (value[j] - value[j - 1]) / (at[j] - at[j - order]);
      }
      double power[4] = {value[3], 0, 0, 0};
      for (int j = 2; j >= 0; --j) {
        for (int k = 3; k > 0; --k) power[k] = power[k - 1] - at[j] * power[k];
        power[0] = value[j] - at[j] * power[0];
      }
      for (int k = 0; k < 4; ++k) coefficients[k][i] = static_cast<float>(power[k]);
    }
  }

  __m512 operator()(__m512 x) const {
    const __m512 size = at_most16(_mm512_abs_ps(x), limit * (1 - 1e-6f));
    const __m512 place = _mm512_mul_ps(size, _mm512_set1_ps(32 / limit));
    const __m512i interval = _mm512_cvttps_epi32(place);
    const __m512 within = _mm512_sub_ps(place, _mm512_cvtepi32_ps(interval));
    __m512 y = lookup(3, interval);
    y = _mm512_fmadd_ps(y, within, lookup(2, interval));
    y = _mm512_fmadd_ps(y, within, lookup(1, interval));
    y = _mm512_fmadd_ps(y, within, lookup(0, interval));
    const __mmask16 positive = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
    return _mm512_mask_sub_ps(y, positive, _mm512_set1_ps(1.0f), y);
  }

 private:
  __m512 lookup(int power, __m512i interval) const {
    const float* row = coefficients[power];
    return _mm512_permutex2var_ps(_mm512_load_ps(row), interval, _mm512_load_ps(row + 16));
  }
};

struct Curves {
  Curve gate, slope;
};

/// The curves of an activation that has some.
inline const Curves& curves_of(Activation activation) {
  static const Curves gelu = {
      {[](double x) { return 0.5 * erfc(-x * 0.70710678118654752); }, 6},
      {[](double x) {
         return 0.5 * erfc(-x * 0.70710678118654752) + x * exp(-x * x / 2) * 0.39894228040143268;
       },
       6}};
  // ½(1 + tanh u) = σ(2u) with u = √(2/π)·(x + 0.044715·x³)
  static const Curves gelu_tanh = {
      {[](double x) { return 1 / (1 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x))); }, 6},
      {[](double x) {
         const double gate = 1 / (1 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
         return gate + x * gate * (1 - gate) * 1.5957691216057308 * (1 + 0.134145 * x * x);
       },
       6}};
  static const Curves quick_gelu = {
      {[](double x) { return 1 / (1 + exp(-1.702 * x)); }, 10},
      {[](double x) {
         const double gate = 1 / (1 + exp(-1.702 * x));
         return gate + 1.702 * x * gate * (1 - gate);
       },
       10}};
  switch (activation) {
    case Activation::gelu_tanh:
      return gelu_tanh;
    case Activation::quick_gelu:
      return quick_gelu;
    default:
      return gelu;
  }
}

inline __m512 activate16(Activation activation, __m512 x) {
  if (activation == Activation::relu) return at_least16(x, 0);
  return _mm512_mul_ps(x, curves_of(activation).gate(x));
}

/// value ⊙ slope(x); NaN at an infinite x, as x·g′(x) is there.
inline __m512 times_slope16(const Curve& slope, __m512 x, __m512 value) {
  return _mm512_mul_ps(value, _mm512_fmadd_ps(x, _mm512_setzero_ps(), slope(x)));
}

/// The gradient behind max(x, 0): 0 where x ≤ 0, whatever `value` is, else `value`, also where x is NaN.
inline __m512 rectified_gradient16(__m512 x, __m512 value) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLE_UQ), value);
}

/// value ⊙ the activation's derivative at x.
inline __m512 activation_gradient16(Activation activation, __m512 x, __m512 value) {
  if (activation == Activation::relu) return rectified_gradient16(x, value);
  return times_slope16(curves_of(activation).slope, x, value);
}

/// 16 bfloat16 to float32.
inline __m512 widen16(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/// 32 float32 to bfloat16, to nearest even.
inline __m512i narrow32(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

}  // namespace
}  // namespace bantam::gemm
