// Rearranging bfloat16 matrices for products, and where they go. Only plain C headers here and in files
// that include it: they are compiled for CPUs that have AVX-512, and nothing in them may be
// linked in for others.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace bantam::gemm {
namespace {

constexpr int64_t kHugePage = 1 << 21;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

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
#ifdef MADV_HUGEPAGE
      madvise(data, wanted, MADV_HUGEPAGE);
#endif
      bytes = wanted;
    }
    return static_cast<uint16_t*>(data);
  }
};

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
