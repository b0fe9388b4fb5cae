#include "resample_avx512.h"

#include <immintrin.h>
#include <string.h>

#include "resample.h"

namespace bantam::image {
namespace {

__m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

/// Three sums of byte products as the one that they stand for.
struct Sums {
  __m256i a, b, c;

  void add(__m256i pixels, __m256i weights_a, __m256i weights_b, __m256i weights_c) {
    a = _mm256_dpbusd_epi32(a, pixels, weights_a);
    b = _mm256_dpbusd_epi32(b, pixels, weights_b);
    c = _mm256_dpbusd_epi32(c, pixels, weights_c);
  }

  __m256i total() const {
    return _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(a, 16), _mm256_slli_epi32(b, 8)), c);
  }
};

__m256i rounded(__m256i sums) {
  return _mm256_srai_epi32(_mm256_add_epi32(sums, _mm256_set1_epi32(kHalf)), kFractionBits);
}

/// The sums of the halves of `first`, then of `second`.
__m256i sum_halves(__m256i first, __m256i second) {
  return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                          _mm256_permute2x128_si256(first, second, 0x31));
}

void store_pixel(uint8_t* to, int32_t pixel, bool last) {
  // The fourth byte is the next pixel's, which comes after; at the end it is another row's.
  if (last) {
    memcpy(to, &pixel, 3);
  } else {
    memcpy(to, &pixel, 4);
  }
}

template <int rows>
void rows_of(const uint8_t* from, size_t from_stride, const ByteTaps& taps, int width, uint8_t* to, size_t to_stride) {
  // Eight pixels: R0…R3 G0…G3 B0…B3 and four bytes of no account | the same of pixels 4 to 7.
  const __m256i pick = _mm256_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0,  //
                                        12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23, 0, 0, 0, 0);
  const __m256i spread_a = _mm256_setr_epi32(0, 0, 0, 0, 3, 3, 3, 3);
  const __m256i spread_b = _mm256_setr_epi32(1, 1, 1, 1, 4, 4, 4, 4);
  const __m256i spread_c = _mm256_setr_epi32(2, 2, 2, 2, 5, 5, 5, 5);
  for (int x = 0; x < width; ++x) {
    const uint8_t* pixel = from + taps.first[x] * 3;
    const uint32_t* parts = taps.parts + static_cast<size_t>(x) * taps.groups * kParts;
    Sums sums[rows];
    for (int r = 0; r < rows; ++r) sums[r].a = sums[r].b = sums[r].c = _mm256_setzero_si256();
    for (int tap = 0; tap < taps.count[x]; tap += 8, pixel += 24, parts += 2 * kParts) {
      const __m256i weights = load(parts);
      const __m256i weights_a = _mm256_permutevar8x32_epi32(weights, spread_a);
      const __m256i weights_b = _mm256_permutevar8x32_epi32(weights, spread_b);
      const __m256i weights_c = _mm256_permutevar8x32_epi32(weights, spread_c);
      for (int r = 0; r < rows; ++r) {
        const __m256i bytes = _mm256_permutexvar_epi8(pick, load(pixel + r * from_stride));
        sums[r].add(bytes, weights_a, weights_b, weights_c);
      }
    }
    const bool last = x + 1 == width;
    uint8_t* target = to + x * 3;
    if constexpr (rows == 1) {
      const __m256i total = sums[0].total();
      const __m256i words = _mm256_packs_epi32(rounded(sum_halves(total, total)), total);
      const __m256i bytes = _mm256_packus_epi16(words, words);
      store_pixel(target, _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes)), last);
    } else {
      const __m256i first = rounded(sum_halves(sums[0].total(), sums[1].total()));
      const __m256i second = rounded(sum_halves(sums[2].total(), sums[3].total()));
      const __m256i words = _mm256_packs_epi32(first, second);
      const __m256i bytes = _mm256_packus_epi16(words, words);
      const __m128i even = _mm256_castsi256_si128(bytes);
      const __m128i odd = _mm256_extracti128_si256(bytes, 1);
      store_pixel(target, _mm_cvtsi128_si32(even), last);
      store_pixel(target + to_stride, _mm_cvtsi128_si32(odd), last);
      store_pixel(target + 2 * to_stride, _mm_extract_epi32(even, 1), last);
      store_pixel(target + 3 * to_stride, _mm_extract_epi32(odd, 1), last);
    }
  }
}

}  // namespace

void rows_avx512(const uint8_t* from, size_t from_stride, int rows, const ByteTaps& taps, int width, uint8_t* to,
                 size_t to_stride) {
  if (rows == 4) return rows_of<4>(from, from_stride, taps, width, to, to_stride);
  rows_of<1>(from, from_stride, taps, width, to, to_stride);
}

int columns_avx512(const uint8_t* from, int stride, const ByteTaps& taps, int y, uint8_t* to) {
  const int count = taps.count[y];
  int x = 0;
  for (; x + 32 <= stride; x += 32) {
    Sums sums[4];
    for (Sums& each : sums) each.a = each.b = each.c = _mm256_setzero_si256();
    const uint32_t* parts = taps.parts + static_cast<size_t>(y) * taps.groups * kParts;
    for (int tap = 0; tap < count; tap += 4, parts += kParts) {
      // The row of a tap that is not there weighs nothing, so any row will do.
      const auto row = [&](int offset) {
        const int there = tap + offset < count ? tap + offset : count - 1;
        return load(from + static_cast<size_t>(there) * stride + x);
      };
      const __m256i first = row(0), second = row(1), third = row(2), fourth = row(3);
      const __m256i upper0 = _mm256_unpacklo_epi8(first, second), upper1 = _mm256_unpackhi_epi8(first, second);
      const __m256i lower0 = _mm256_unpacklo_epi8(third, fourth), lower1 = _mm256_unpackhi_epi8(third, fourth);
      const __m256i a = _mm256_set1_epi32(static_cast<int32_t>(parts[0]));
      const __m256i b = _mm256_set1_epi32(static_cast<int32_t>(parts[1]));
      const __m256i c = _mm256_set1_epi32(static_cast<int32_t>(parts[2]));
      sums[0].add(_mm256_unpacklo_epi16(upper0, lower0), a, b, c);
      sums[1].add(_mm256_unpackhi_epi16(upper0, lower0), a, b, c);
      sums[2].add(_mm256_unpacklo_epi16(upper1, lower1), a, b, c);
      sums[3].add(_mm256_unpackhi_epi16(upper1, lower1), a, b, c);
    }
    // Packing works within halves, as unpacking did: the columns are in order again.
    const __m256i left = _mm256_packs_epi32(rounded(sums[0].total()), rounded(sums[1].total()));
    const __m256i right = _mm256_packs_epi32(rounded(sums[2].total()), rounded(sums[3].total()));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + x), _mm256_packus_epi16(left, right));
  }
  return x;
}

}  // namespace bantam::image
