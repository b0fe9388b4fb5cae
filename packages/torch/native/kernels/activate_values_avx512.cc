#include "activate_values.h"

#include "activation_avx512.h"

namespace bantam {
namespace {

using gemm::Activation;

__m512 low_half(__m512i x) { return gemm::widen16(_mm512_castsi512_si256(x)); }
__m512 high_half(__m512i x) { return gemm::widen16(_mm512_extracti64x4_epi64(x, 1)); }

/// y = function(x, y) for 16 numbers at a time.
template <typename Function>
inline void for_values(const uint16_t* x, uint16_t* y, int64_t count, Function&& function) {
  const auto apply = [&](__m512i a, __m512i b) {
    return gemm::narrow32(function(low_half(a), low_half(b)), function(high_half(a), high_half(b)));
  };
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    _mm512_storeu_si512(y + i, apply(_mm512_loadu_si512(x + i), _mm512_loadu_si512(y + i)));
  }
  if (i == count) return;
  const auto lanes = static_cast<__mmask32>((1ull << (count - i)) - 1);
  const __m512i last = apply(_mm512_maskz_loadu_epi16(lanes, x + i), _mm512_maskz_loadu_epi16(lanes, y + i));
  _mm512_mask_storeu_epi16(y + i, lanes, last);
}

}  // namespace

void activate_values(Activation activation, const uint16_t* x, uint16_t* y, int64_t count) {
  if (activation == Activation::relu) {
    return for_values(x, y, count, [](__m512 x, __m512) { return at_least16(x, 0); });
  }
  const gemm::Curve& gate = gemm::curves_of(activation).gate;
  for_values(x, y, count, [&](__m512 x, __m512) { return _mm512_mul_ps(x, gate(x)); });
}

void multiply_by_slope(Activation activation, const uint16_t* x, uint16_t* values, int64_t count) {
  if (activation == Activation::relu) {
    return for_values(x, values, count,
                      [](__m512 x, __m512 value) { return gemm::rectified_gradient16(x, value); });
  }
  const gemm::Curve& slope = gemm::curves_of(activation).slope;
  for_values(x, values, count, [&](__m512 x, __m512 value) { return gemm::times_slope16(slope, x, value); });
}

}  // namespace bantam
