#include "resample.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "../level.h"
#include "resample_avx512.h"
#include "taps.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define BANTAM_AVX2 __attribute__((target("avx2")))
#include <immintrin.h>
#endif

namespace bantam::image {
namespace {

uint8_t clamp(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

/// The horizontal pass over one row: `from` is the box's first pixel, `to` has one per output.
void row_plain(const uint8_t* from, const Taps& taps, int width, uint8_t* to) {
  for (int x = 0; x < width; ++x, to += 3) {
    const int32_t* weights = taps.row(x);
    const uint8_t* pixel = from + taps.first[x] * 3;
    int32_t red = kHalf, green = kHalf, blue = kHalf;
    for (int tap = 0; tap < taps.count[x]; ++tap, pixel += 3) {
      red += pixel[0] * weights[tap];
      green += pixel[1] * weights[tap];
      blue += pixel[2] * weights[tap];
    }
    to[0] = clamp(red);
    to[1] = clamp(green);
    to[2] = clamp(blue);
  }
}

/// The vertical pass for columns `start` and up of one output row.
void columns_plain(const uint8_t* from, int stride, const int32_t* weights, int count, int start,
                   uint8_t* to) {
  for (int x = start; x < stride; ++x) {
    int32_t sum = kHalf;
    for (int tap = 0; tap < count; ++tap) sum += from[static_cast<size_t>(tap) * stride + x] * weights[tap];
    to[x] = clamp(sum);
  }
}

#ifdef BANTAM_AVX2

// One instruction multiplies sixteen pairs of 16-bit numbers and adds neighbours. Weights have more
// bits than that, so each is split into w = high·2¹¹ + low; the two sums, put together, are the sum
// of the plain form in every bit, as integers wrap alike.
constexpr int kLowBits = 11;

int16_t high_part(int32_t weight) { return static_cast<int16_t>(weight >> kLowBits); }
int16_t low_part(int32_t weight) { return static_cast<int16_t>(weight & ((1 << kLowBits) - 1)); }

/// Two 16-bit numbers side by side, the first in the lower half.
int32_t pair(int16_t first, int16_t second) {
  return static_cast<uint16_t>(first) | static_cast<int32_t>(second) * 65536;
}

/// For every four taps of each output the weights as the horizontal pass wants them: taps 0 and 1
/// for the four lanes of the lower half, taps 2 and 3 for the upper half; high parts, then low.
std::vector<int16_t> spread_weights(const Taps& taps) {
  std::vector<int16_t> spread(taps.weights.size() / 4 * 32);
  int16_t* to = spread.data();
  for (size_t group = 0; group < taps.weights.size(); group += 4, to += 32) {
    for (int lane = 0; lane < 16; ++lane) {
      const int32_t weight = taps.weights[group + (lane & 1) + (lane >= 8 ? 2 : 0)];
      to[lane] = high_part(weight);
      to[lane + 16] = low_part(weight);
    }
  }
  return spread;
}

BANTAM_AVX2 inline __m128i sum_halves(__m256i sums) {
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

/// Bytes that the pass over a row may read or write beyond its pixels.
constexpr int kRowSlack = 32;

/// {@link row_plain} for `rows` rows, one to four; may touch kRowSlack bytes behind each.
template <int rows>
BANTAM_AVX2 void rows_avx2(const uint8_t* from, size_t from_stride, const Taps& taps,
                           const int16_t* spread, int width, uint8_t* to, size_t to_stride) {
  // Four pixels as 16-bit numbers: R0 R1 G0 G1 B0 B1 0 0 | R2 R3 G2 G3 B2 B3 0 0.
  const __m256i pick = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                                        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const int groups = taps.most / 4;
  for (int x = 0; x < width; ++x) {
    const uint8_t* pixel = from + taps.first[x] * 3;
    const int16_t* weights = spread + static_cast<size_t>(x) * groups * 32;
    const int used = (taps.count[x] + 3) / 4;
    __m256i high[rows], low[rows];
    for (int r = 0; r < rows; ++r) high[r] = low[r] = _mm256_setzero_si256();
    for (int group = 0; group < used; ++group, pixel += 12, weights += 32) {
      const __m256i weight_high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
      const __m256i weight_low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 16));
      for (int r = 0; r < rows; ++r) {
        const auto* bytes = reinterpret_cast<const __m128i*>(pixel + r * from_stride);
        const __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(bytes)), pick);
        high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(values, weight_high));
        low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(values, weight_low));
      }
    }
    for (int r = 0; r < rows; ++r) {
      __m128i sum = _mm_add_epi32(_mm_slli_epi32(sum_halves(high[r]), kLowBits), sum_halves(low[r]));
      sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(kHalf)), kFractionBits);
      const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
      // The fourth byte is the next pixel's, which comes after; at the end it is another row's.
      const int32_t rgb = _mm_cvtsi128_si32(bytes);
      if (x + 1 < width) {
        std::memcpy(to + r * to_stride + x * 3, &rgb, 4);
      } else {
        std::memcpy(to + r * to_stride + x * 3, &rgb, 3);
      }
    }
  }
}

/// The weights of every two taps as the vertical pass wants them: their high parts, their low parts.
std::vector<int32_t> paired_weights(const Taps& taps) {
  std::vector<int32_t> paired(taps.weights.size());
  for (size_t i = 0; i < paired.size(); i += 2) {
    const int32_t first = taps.weights[i], second = taps.weights[i + 1];
    paired[i] = pair(high_part(first), high_part(second));
    paired[i + 1] = pair(low_part(first), low_part(second));
  }
  return paired;
}

/// {@link columns_plain} for as many columns as whole vectors cover; returns the first one left.
BANTAM_AVX2 int columns_avx2(const uint8_t* from, int stride, const int32_t* paired, int count, uint8_t* to) {
  int x = 0;
  for (; x + 16 <= stride; x += 16) {
    __m256i high0 = _mm256_setzero_si256(), high1 = high0, low0 = high0, low1 = high0;
    for (int tap = 0; tap < count; tap += 2) {
      // The row of a tap that is not there weighs nothing, so any row will do.
      const bool both = tap + 1 < count;
      const uint8_t* row = from + static_cast<size_t>(tap) * stride + x;
      const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
      const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(both ? row + stride : row));
      const __m256i left = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(upper, lower));
      const __m256i right = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(upper, lower));
      const __m256i weight_high = _mm256_set1_epi32(paired[tap]);
      const __m256i weight_low = _mm256_set1_epi32(paired[tap + 1]);
      high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(left, weight_high));
      high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(right, weight_high));
      low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(left, weight_low));
      low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(right, weight_low));
    }
    const __m256i half = _mm256_set1_epi32(kHalf);
    const __m256i sum0 = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(high0, kLowBits), low0), half);
    const __m256i sum1 = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(high1, kLowBits), low1), half);
    const __m256i words = _mm256_packs_epi32(_mm256_srai_epi32(sum0, kFractionBits),
                                             _mm256_srai_epi32(sum1, kFractionBits));
    // Packing works within halves: put the four quarters back into order.
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + x), bytes);
  }
  return x;
}

#else
constexpr int kRowSlack = 0;
#endif

#ifdef BANTAM_AVX512

/// {@link ByteTaps} and their words.
struct SplitTaps {
  std::vector<uint32_t> parts;
  ByteTaps view;
};

SplitTaps split_taps(const Taps& taps) {
  const int groups = (taps.most / 4 + 1) / 2 * 2;
  SplitTaps split;
  split.parts.assign(taps.first.size() * groups * kParts + kPartSlack, 0);
  for (size_t i = 0; i < taps.first.size(); ++i) {
    uint32_t* words = split.parts.data() + i * groups * kParts;
    for (int tap = 0; tap < taps.most; ++tap) {
      int32_t rest = taps.row(static_cast<int>(i))[tap];
      for (int part = kParts - 1; part >= 0; --part) {
        const auto byte = static_cast<int8_t>(rest & 0xff);
        words[tap / 4 * kParts + part] |= static_cast<uint32_t>(static_cast<uint8_t>(byte)) << (tap % 4 * 8);
        rest = (rest - byte) >> 8;
      }
    }
  }
  split.view = {taps.first.data(), taps.count.data(), split.parts.data(), groups};
  return split;
}

#endif

#ifdef BANTAM_AVX2

/// The horizontal pass in vector form: [box.height, width, 3], with kRowSlack bytes behind it. A step
/// takes some rows, four or one: (from, stride, rows, to, stride).
template <typename Step>
void rows_in_steps(const Image& from, const Box& box, int width, uint8_t* to, const Step& step) {
  const size_t from_stride = static_cast<size_t>(from.width) * 3;
  const size_t to_stride = static_cast<size_t>(width) * 3;
  const uint8_t* first = from.data + box.top * from_stride + static_cast<size_t>(box.left) * 3;
  const uint8_t* end = from.data + from.height * from_stride;
  // Rows from which a load may reach beyond the image are copied to where there is room.
  const ptrdiff_t within = (end - first - box.width * 3 - kRowSlack) / static_cast<ptrdiff_t>(from_stride);
  const int safe = static_cast<int>(std::clamp<ptrdiff_t>(within, 0, box.height));
  int y = 0;
  for (; y + 4 <= safe; y += 4) step(first + y * from_stride, from_stride, 4, to + y * to_stride, to_stride);
  std::vector<uint8_t> copy(static_cast<size_t>(box.width) * 3 + kRowSlack);
  for (; y < box.height; ++y) {
    std::memcpy(copy.data(), first + y * from_stride, static_cast<size_t>(box.width) * 3);
    step(copy.data(), 0, 1, to + y * to_stride, 0);
  }
}

void rows_vector(const Image& from, const Box& box, const Taps& taps, int width, uint8_t* to, Form form) {
#ifdef BANTAM_AVX512
  if (form == Form::avx512) {
    const SplitTaps split = split_taps(taps);
    return rows_in_steps(from, box, width, to, [&](auto* row, size_t stride, int rows, auto* target, size_t to_stride) {
      rows_avx512(row, stride, rows, split.view, width, target, to_stride);
    });
  }
#endif
  const std::vector<int16_t> spread = spread_weights(taps);
  rows_in_steps(from, box, width, to, [&](auto* row, size_t stride, int rows, auto* target, size_t to_stride) {
    if (rows == 4) {
      rows_avx2<4>(row, stride, taps, spread.data(), width, target, to_stride);
    } else {
      rows_avx2<1>(row, stride, taps, spread.data(), width, target, to_stride);
    }
  });
}

#endif

void resample_rows(const Image& from, const Box& box, const Resize& resize, uint8_t* to, Form form) {
  const size_t from_stride = static_cast<size_t>(from.width) * 3;
  const size_t to_stride = static_cast<size_t>(resize.width) * 3;
  const uint8_t* first = from.data + box.top * from_stride + static_cast<size_t>(box.left) * 3;
  if (resize.width == box.width) {
    for (int y = 0; y < box.height; ++y) std::memcpy(to + y * to_stride, first + y * from_stride, to_stride);
    return;
  }
  const Taps taps = taps_for(box.width, resize.width, resize.filter, resize.antialias);
#ifdef BANTAM_AVX2
  if (form != Form::plain) return rows_vector(from, box, taps, resize.width, to, form);
#endif
  for (int y = 0; y < box.height; ++y) {
    row_plain(first + y * from_stride, taps, resize.width, to + y * to_stride);
  }
}

void resample_columns(const uint8_t* from, int rows, const Resize& resize, uint8_t* to, Form form) {
  const int stride = resize.width * 3;
  const Taps taps = taps_for(rows, resize.height, resize.filter, resize.antialias);
#ifdef BANTAM_AVX512
  const SplitTaps split = form == Form::avx512 ? split_taps(taps) : SplitTaps{};
#endif
#ifdef BANTAM_AVX2
  const std::vector<int32_t> paired = form == Form::avx2 ? paired_weights(taps) : std::vector<int32_t>{};
#endif
  for (int y = 0; y < resize.height; ++y, to += stride) {
    const uint8_t* first = from + static_cast<size_t>(taps.first[y]) * stride;
    int x = 0;
#ifdef BANTAM_AVX512
    if (form == Form::avx512) x = columns_avx512(first, stride, split.view, y, to);
#endif
#ifdef BANTAM_AVX2
    const size_t row = static_cast<size_t>(y) * taps.most;
    if (form == Form::avx2) x = columns_avx2(first, stride, paired.data() + row, taps.count[y], to);
#endif
    columns_plain(first, stride, taps.row(y), taps.count[y], x, to);
  }
}

}  // namespace

Form best_form() {
#ifdef BANTAM_AVX512
  const bool has_bytes = __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("avx512vbmi") != 0;
  if (has_bytes && vector_level() >= Level::avx512) return Form::avx512;
#endif
#ifdef BANTAM_AVX2
  if (vector_level() >= Level::avx2) return Form::avx2;
#endif
  return Form::plain;
}

void resample(const Image& from, const Resize& resize, uint8_t* to, Form form) {
  const Box& box = resize.box;
  const size_t bytes = static_cast<size_t>(box.height) * resize.width * 3;
  // Kept from call to call: fresh memory costs about as much as the arithmetic. What an image of an
  // extreme shape takes is given back.
  constexpr size_t kMostKept = size_t{1} << 26;
  static thread_local std::vector<uint8_t> kept;
  std::vector<uint8_t> extreme;
  std::vector<uint8_t>& rows = bytes <= kMostKept ? kept : extreme;
  if (rows.size() < bytes + kRowSlack) rows.resize(bytes + kRowSlack);
  resample_rows(from, box, resize, rows.data(), form);
  if (resize.height == box.height) {
    std::memcpy(to, rows.data(), bytes);
  } else {
    resample_columns(rows.data(), box.height, resize, to, form);
  }
}

}  // namespace bantam::image
