// Products of packed panels in int8 with AVX2. Two products of bytes must fit 16 bits, so one factor is taken
// by its size, at most 127, and the other with the sign of both.
#include <immintrin.h>

#include "panel_tiles.h"

namespace bantam::panels {
namespace {

constexpr int kRows = kAvx2Int8Shape.rows;

/// Four inputs at a time, in the 32 bits of a lane.
struct Int8 {
  using Scalar = int32_t;
  using Sum = __m256i;
  using Weight = __m256i;
  static constexpr bool kUnrolls = true;

  /// Unsigned bytes with 128 for 0.
  BANTAM_UNROLLED static void add(__m256i& sum, int32_t x, const __m256i& w) {
    const __m256i factors = _mm256_set1_epi32(x ^ static_cast<int32_t>(0x80808080));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(factors), _mm256_sign_epi8(w, factors));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace

void multiply_int8_avx2(const Int8Product& product, const Part& part) {
  multiply_int8_panels<Int8, kRows>(product, part, [](const Int8Product& p, const __m256i& sums, int64_t column) BANTAM_UNROLLED {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(p.scale + column));
  });
}

}  // namespace bantam::panels
