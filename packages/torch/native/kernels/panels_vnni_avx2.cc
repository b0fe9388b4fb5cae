// Products of packed panels in int8 with AVX-VNNI, which CPUs without AVX-512 have.
#include <immintrin.h>

#include "panel_tiles.h"

namespace bantam::panels {
namespace {

/// Four inputs at a time, in the 32 bits of a lane.
struct Int8 {
  using Scalar = int32_t;
  using Sum = __m256i;
  using Weight = __m256i;
  // Unrolled, gcc 12 stores the sums after each round.
  static constexpr bool kUnrolls = false;

  BANTAM_UNROLLED static void add(__m256i& sum, int32_t x, const __m256i& w) {
    // The intrinsic makes gcc 12 copy the sums from register to register.
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(_mm256_set1_epi32(x)), "x"(w));
  }
};

}  // namespace

void multiply_int8_avx2_vnni(const Int8Product& product, const Part& part) {
  multiply_int8_panels<Int8, kTileRows>(product, part, [](const Int8Product& p, const __m256i& sums, int64_t column) BANTAM_UNROLLED {
    const __m256i correction = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.correction + column));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sums, correction)), _mm256_loadu_ps(p.scale + column));
  });
}

}  // namespace bantam::panels
