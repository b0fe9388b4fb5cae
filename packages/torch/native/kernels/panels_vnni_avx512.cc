// Products of packed panels in int8 with AVX512-VNNI.
#include <immintrin.h>

#include "panel_tiles.h"

namespace bantam::panels {
namespace {

/// Four inputs at a time, in the 32 bits of a lane.
struct Int8 {
  using Scalar = int32_t;
  using Sum = __m512i;
  using Weight = __m512i;
  // Unrolled, gcc 12 stores the sums after each round.
  static constexpr bool kUnrolls = false;

  BANTAM_UNROLLED static void add(__m512i& sum, int32_t x, const __m512i& w) {
    // The intrinsic makes gcc 12 copy the sums from register to register.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_epi32(x)), "v"(w));
  }
};

}  // namespace

void multiply_int8_avx512(const Int8Product& product, const Part& part) {
  multiply_int8_panels<Int8, kTileRows>(product, part, [](const Int8Product& p, const __m512i& sums, int64_t column) BANTAM_UNROLLED {
    const __m512i exact = _mm512_sub_epi32(sums, _mm512_loadu_si512(p.correction + column));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_loadu_ps(p.scale + column));
  });
}

}  // namespace bantam::panels
