#include "activate_rows.h"

#include "activation_avx512.h"

namespace bantam {
namespace {

template <typename Function>
inline void for_values(uint16_t* values, int64_t count, Function&& function) {
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512i x = _mm512_loadu_si512(values + i);
    const __m512 low = function(gemm::widen16(_mm512_castsi512_si256(x)));
    const __m512 high = function(gemm::widen16(_mm512_extracti64x4_epi64(x, 1)));
    _mm512_storeu_si512(values + i, gemm::narrow32(low, high));
  }
  if (i == count) return;
  const auto lanes = static_cast<__mmask32>((1ull << (count - i)) - 1);
  const __m512i x = _mm512_maskz_loadu_epi16(lanes, values + i);
  const __m512 low = function(gemm::widen16(_mm512_castsi512_si256(x)));
  const __m512 high = function(gemm::widen16(_mm512_extracti64x4_epi64(x, 1)));
  _mm512_mask_storeu_epi16(values + i, lanes, gemm::narrow32(low, high));
}

}  // namespace

void activate_values(gemm::Activation activation, uint16_t* values, int64_t count) {
  if (activation == gemm::Activation::none) return;
  if (activation == gemm::Activation::relu) {
    return for_values(values, count, [](__m512 x) { return _mm512_max_ps(_mm512_setzero_ps(), x); });
  }
  const gemm::Curve& gate = gemm::curves_of(activation).gate;
  for_values(values, count, [&](__m512 x) { return _mm512_mul_ps(x, gate(x)); });
}

}  // namespace bantam
