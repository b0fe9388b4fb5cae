// What the AMX kernels share. Only plain C headers here and in files that include it: they are
// compiled for processors that have AMX and AVX-512, and nothing in them may be linked in for others.
#pragma once

#include <immintrin.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "activation_avx512.h"

namespace bantam::gemm {
namespace {

constexpr int64_t kPanel = 32;        // rows of A or columns of B in a panel: two tiles side by side
constexpr int64_t kTile = 512;        // numbers in a tile: 16 rows of 32 bfloat16
constexpr int64_t kStep = 2 * kTile;  // numbers of a panel for 32 places along k
constexpr int64_t kHugePage = 1 << 21;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/// How the tiles are cut: palette 1, then for each of eight tiles its bytes a row and its rows.
alignas(64) constexpr uint8_t kTileConfig[64] = {1,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0,
                                                 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0,
                                                 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0,
                                                 16, 16, 16, 16, 16, 16, 16, 16};

/// Eight tiles of 16 rows and 64 bytes, for as long as this lives.
struct Tiles {
  Tiles() { _tile_loadconfig(kTileConfig); }
  ~Tiles() { _tile_release(); }
};

/// A thread's own buffer, kept from one product to the next.
struct Scratch {
  void* data = nullptr;
  int64_t bytes = 0;
  ~Scratch() { free(data); }
  uint16_t* get(int64_t numbers) {
    const int64_t wanted = divide_up(numbers * 2, kHugePage) * kHugePage;
    if (wanted > bytes) {
      free(data);
      data = aligned_alloc(kHugePage, wanted);
      if (data == nullptr) abort();
      madvise(data, wanted, MADV_HUGEPAGE);
      bytes = wanted;
    }
    return static_cast<uint16_t*>(data);
  }
};
struct Nothing {
  void operator()(int64_t) const {}
};

/// c [32, 32] (+)= a·b for two panels over `steps` · 32 places along k. meanwhile(step) is other work
/// for the vector units while the matrix unit is busy with a step.
template <typename Meanwhile = Nothing>
inline void multiply_panels(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t c_stride,
                            bool accumulate, Meanwhile&& meanwhile = {}) {
  // The compiler does not know that loading a tile reads memory.
  asm volatile("" ::: "memory");
  const int64_t bytes = c_stride * 4;
  float* lower = c + 16 * c_stride;
  if (accumulate) {
    _tile_loadd(0, c, bytes);
    _tile_loadd(1, c + 16, bytes);
    _tile_loadd(2, lower, bytes);
    _tile_loadd(3, lower + 16, bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step, a += kStep, b += kStep) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTile, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + kTile, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    meanwhile(step);
  }
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + 16, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + 16, bytes);
}

/// 16 × 16 numbers of 32 bits, rows to columns.
inline void transpose16(__m512i* rows) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

/// The order that puts the first (or second) 16 numbers of two rows side by side, in 32 bits each.
inline __m512i low_order() {
  alignas(64) static const uint16_t order[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  return _mm512_load_si512(order);
}
inline __m512i high_order() { return _mm512_add_epi16(low_order(), _mm512_set1_epi16(16)); }

/// A mask of the first `count` of 32.
inline uint32_t first_bits(int64_t count) { return count >= 32 ? 0xffffffffu : (1u << count) - 1; }

}  // namespace
}  // namespace bantam::gemm
