// AMX instructions in software, with the same bits, on AVX-512: tests run the AMX kernels
// with them on CPUs without AMX. The npm package lacks this file, and then nothing is emulated.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace bantam::gemm {
namespace {

/// 16 rows of 64 bytes, as kTileConfig cuts all tiles.
struct EmulatedTile {
  alignas(64) unsigned char rows[16][64];
};

thread_local EmulatedTile emulated_tiles[8];

inline void emulated_load(int tile, const void* from, int64_t stride) {
  for (int row = 0; row < 16; ++row) {
    memcpy(emulated_tiles[tile].rows[row], static_cast<const char*>(from) + row * stride, 64);
  }
}

inline void emulated_store(int tile, void* to, int64_t stride) {
  for (int row = 0; row < 16; ++row) {
    memcpy(static_cast<char*>(to) + row * stride, emulated_tiles[tile].rows[row], 64);
  }
}

inline __m512 even_numbers(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
inline __m512 odd_numbers(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
}

/// c += a·b as TDPBF16PS computes it (Intel's manual, volume 2): the products of even and of odd positions
/// along k are added up apart, by fused multiplications and additions.
__attribute__((noinline)) void emulated_product(EmulatedTile& c, const EmulatedTile& a, const EmulatedTile& b) {
  for (int row = 0; row < 16; ++row) {
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int k = 0; k < 16; ++k) {
      int32_t pair;
      memcpy(&pair, a.rows[row] + 4 * k, sizeof pair);
      const __m512i left = _mm512_set1_epi32(pair), right = _mm512_load_si512(b.rows[k]);
      even = _mm512_fmadd_ps(even_numbers(left), even_numbers(right), even);
      odd = _mm512_fmadd_ps(odd_numbers(left), odd_numbers(right), odd);
    }
    const __m512 sum = _mm512_load_ps(c.rows[row]);
    _mm512_store_ps(c.rows[row], _mm512_add_ps(sum, _mm512_add_ps(even, odd)));
  }
}

inline void emulated_multiply(int c, int a, int b) {
  // Whatever the thread's settings: to nearest even, numbers without a normal form as 0, no exceptions.
  constexpr unsigned kSettings = 0x9fc0;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kSettings);
  emulated_product(emulated_tiles[c], emulated_tiles[a], emulated_tiles[b]);
  _mm_setcsr(before);
}

}  // namespace
}  // namespace bantam::gemm

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) static_cast<void>(config)
#define _tile_release() static_cast<void>(0)
#define _tile_zero(tile) static_cast<void>(emulated_tiles[tile] = {})
#define _tile_loadd(tile, from, stride) emulated_load(tile, from, stride)
#define _tile_stored(tile, to, stride) emulated_store(tile, to, stride)
#define _tile_dpbf16ps(c, a, b) emulated_multiply(c, a, b)
