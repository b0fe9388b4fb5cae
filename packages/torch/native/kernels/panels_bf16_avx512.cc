// Products of packed panels in bfloat16 with AVX512-BF16.
#include <immintrin.h>

#include <limits>

#include "panel_tiles.h"

namespace bantam::panels {
namespace {

/// Two inputs at a time, in the 32 bits of a lane.
struct Bfloat16 {
  using Number = uint16_t;
  using Scalar = int32_t;
  using Sum = __m512;
  using Weight = __m512i;
  // Unrolled, gcc 12 stores the sums after each round.
  static constexpr bool kUnrolls = false;
  static constexpr int kLanes = 16;

  BANTAM_UNROLLED static void add(__m512& sum, int32_t x, const __m512i& w) {
    // The intrinsic makes gcc 12 copy the sums from register to register.
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_epi32(x)), "v"(w));
  }

  BANTAM_UNROLLED static void read(__m512& values, const uint16_t* from) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    values = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }

  BANTAM_UNROLLED static void write(uint16_t* to, const __m512& values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  }

  BANTAM_UNROLLED static void rectify(__m512& values) {
    const __mmask16 below = _mm512_cmp_ps_mask(values, _mm512_setzero_ps(), _CMP_LT_OQ);
    values = _mm512_mask_mov_ps(values, below, _mm512_setzero_ps());
  }
};

}  // namespace

void multiply_bfloat16_avx512(const Bfloat16Product& product, const Part& part) {
  // y cannot hold sums of a part of the inputs.
  multiply_panels<Bfloat16, 4>(product, part, std::numeric_limits<int64_t>::max());
}

}  // namespace bantam::panels
