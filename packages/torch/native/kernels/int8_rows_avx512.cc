#include "int8_rows.h"

#include "activation_avx512.h"

namespace bantam::int8::avx512 {
namespace {

using gemm::Matrix;

constexpr int64_t kLanes = 16;

__mmask16 first_lanes(int64_t count) {
  return count >= kLanes ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
}

__m512 load(const Matrix& x, int64_t at, __mmask16 lanes) {
  if (x.wide) return _mm512_maskz_loadu_ps(lanes, static_cast<const float*>(x.data) + at);
  return gemm::widen16(_mm256_maskz_loadu_epi16(lanes, static_cast<const uint16_t*>(x.data) + at));
}

/// Stores bfloat16, to nearest even, on CPUs without instructions for it as well.
void store_narrow(uint16_t* y, __mmask16 lanes, __m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  const __m512i narrow = _mm512_mask_mov_epi32(_mm512_srli_epi32(rounded, 16), nan, _mm512_set1_epi32(0x7fc0));
  _mm256_mask_storeu_epi16(y, lanes, _mm512_cvtepi32_epi16(narrow));
}

/// The bits of the largest |x| of a row. As whole numbers they have the order of the numbers, with
/// infinity and NaN behind all others.
uint32_t largest(const Matrix& x, int64_t start, int64_t width) {
  __m512i most = _mm512_setzero_si512();
  for (int64_t i = 0; i < width; i += kLanes) {
    const __m512 value = load(x, start + i, first_lanes(width - i));
    most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(value)));
  }
  return _mm512_reduce_max_epu32(most);
}

float from_bits(uint32_t bits) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bits)))); }

__m512 scaled(const Finish& finish, int64_t row, int64_t column, __mmask16 lanes) {
  const __m512 sums = _mm512_maskz_loadu_ps(lanes, finish.sums + row * finish.stride + column);
  const __m512 bias =
      finish.bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, finish.bias + column);
  return _mm512_fmadd_ps(sums, _mm512_set1_ps(finish.scale[row]), bias);
}

}  // namespace

void quantize_rows(const Matrix& x, int64_t rows, int64_t width, uint8_t* q, float* scale) {
  constexpr uint32_t kInfinity = 0x7f800000;
  for (int64_t row = 0; row < rows; ++row, q += width) {
    const int64_t start = row * x.stride;
    const uint32_t bits = largest(x, start, width);
    const float most = from_bits(bits);
    // Of numbers that are nearly nothing 127 / max|x| would be infinite.
    const bool usable = bits < kInfinity && most > 1e-30f;
    const __m512 factor = _mm512_set1_ps(usable ? 127.0f / most : 0.0f);
    scale[row] = bits < kInfinity ? most / 127.0f : from_bits(0x7fc00000);
    for (int64_t i = 0; i < width; i += kLanes) {
      const __mmask16 lanes = first_lanes(width - i);
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(load(x, start + i, lanes), factor));
      const __m512i shifted = _mm512_add_epi32(rounded, _mm512_set1_epi32(128));
      _mm_mask_storeu_epi8(q + i, lanes, _mm512_cvtepi32_epi8(shifted));
    }
  }
}

void finish_rows(const Finish& finish, const Matrix& residual, void* y, int64_t stride, bool wide) {
  for (int64_t row = 0; row < finish.rows; ++row) {
    for (int64_t i = 0; i < finish.width; i += kLanes) {
      const __mmask16 lanes = first_lanes(finish.width - i);
      __m512 value = scaled(finish, row, i, lanes);
      if (residual.data != nullptr) value = _mm512_add_ps(value, load(residual, row * residual.stride + i, lanes));
      const int64_t at = row * stride + i;
      if (wide) {
        _mm512_mask_storeu_ps(static_cast<float*>(y) + at, lanes, value);
      } else {
        store_narrow(static_cast<uint16_t*>(y) + at, lanes, value);
      }
    }
  }
}

void activate_rows(const Finish& finish, gemm::Activation activation) {
  for (int64_t row = 0; row < finish.rows; ++row) {
    for (int64_t i = 0; i < finish.width; i += kLanes) {
      const __mmask16 lanes = first_lanes(finish.width - i);
      const __m512 value = gemm::activate16(activation, scaled(finish, row, i, lanes));
      _mm512_mask_storeu_ps(finish.sums + row * finish.stride + i, lanes, value);
    }
  }
}

}  // namespace bantam::int8::avx512
