#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#define BANTAM_AVX2 __attribute__((target("avx2")))
#include <immintrin.h>
#endif

namespace bantam::image {
namespace {

/// Bits behind the binary point of the weights: 8 bits of pixel, 2 of headroom, of 32.
constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

/// Cubic convolution with a = -1/2 (Keys, 1981).
double keys_cubic(double distance) {
  constexpr double a = -0.5;
  const double x = std::abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// For each output position: the first input position, how many, and their integer weights. Rows
/// of weights are filled up with zeros to a multiple of four.
struct Taps {
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> weights;
  int most = 0;

  const int32_t* row(int i) const { return weights.data() + static_cast<size_t>(i) * most; }
};

Taps taps_for(int from, int to, Filter filter, bool antialias) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = antialias ? std::max(1.0, scale) : 1.0;
  const double reach = (filter == Filter::bicubic ? 2 : 1) * stretch;
  Taps taps;
  taps.most = (static_cast<int>(std::ceil(reach)) * 2 + 1 + 3) / 4 * 4;
  taps.first.resize(to);
  taps.count.resize(to);
  taps.weights.assign(static_cast<size_t>(to) * taps.most, 0);
  std::vector<double> real(taps.most);
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(centre - reach + 0.5));
    const int high = std::min(from, static_cast<int>(centre + reach + 0.5));
    double total = 0;
    for (int j = low; j < high; ++j) {
      const double x = (j - centre + 0.5) * (1 / stretch);
      real[j - low] = filter == Filter::bicubic ? keys_cubic(x) : bilinear(x);
      total += real[j - low];
    }
    int32_t* weights = taps.weights.data() + static_cast<size_t>(i) * taps.most;
    for (int j = 0; j < high - low; ++j) {
      const double weight = total == 0 ? 0 : real[j] * (1 / total);
      weights[j] = static_cast<int32_t>(weight * (1 << kFractionBits) + (weight < 0 ? -0.5 : 0.5));
    }
    taps.first[i] = low;
    taps.count[i] = high - low;
  }
  return taps;
}

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
    for (int tap = 0; tap < count; ++tap) sum += from[tap * stride + x] * weights[tap];
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

/// {@link columns_plain} for as many columns as whole vectors cover; returns the first one left.
BANTAM_AVX2 int columns_avx2(const uint8_t* from, int stride, const int32_t* weights, int count, uint8_t* to) {
  int x = 0;
  for (; x + 16 <= stride; x += 16) {
    __m256i high0 = _mm256_setzero_si256(), high1 = high0, low0 = high0, low1 = high0;
    for (int tap = 0; tap < count; tap += 2) {
      // The row of a tap that is not there weighs nothing, so any row will do.
      const bool paired = tap + 1 < count;
      const uint8_t* row = from + static_cast<size_t>(tap) * stride + x;
      const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
      const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(paired ? row + stride : row));
      const __m256i left = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(upper, lower));
      const __m256i right = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(upper, lower));
      const int32_t first = weights[tap];
      const int32_t second = paired ? weights[tap + 1] : 0;
      const __m256i weight_high = _mm256_set1_epi32(pair(high_part(first), high_part(second)));
      const __m256i weight_low = _mm256_set1_epi32(pair(low_part(first), low_part(second)));
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

/// The horizontal pass of the vector form: [box.height, width, 3], with kRowSlack bytes behind it.
void rows_vector(const Picture& from, const Box& box, const Taps& taps, int width, uint8_t* to) {
  const std::vector<int16_t> spread = spread_weights(taps);
  const size_t from_stride = static_cast<size_t>(from.width) * 3;
  const size_t to_stride = static_cast<size_t>(width) * 3;
  const uint8_t* first = from.data + box.top * from_stride + static_cast<size_t>(box.left) * 3;
  const uint8_t* end = from.data + from.height * from_stride;
  // Rows from which a load may reach beyond the picture are copied to where there is room.
  const int safe = static_cast<int>(std::min<ptrdiff_t>(
      box.height, std::max<ptrdiff_t>(0, (end - first - box.width * 3 - kRowSlack) / static_cast<ptrdiff_t>(from_stride))));
  int y = 0;
  for (; y + 4 <= safe; y += 4) {
    rows_avx2<4>(first + y * from_stride, from_stride, taps, spread.data(), width, to + y * to_stride, to_stride);
  }
  std::vector<uint8_t> copy(static_cast<size_t>(box.width) * 3 + kRowSlack);
  for (; y < box.height; ++y) {
    std::memcpy(copy.data(), first + y * from_stride, static_cast<size_t>(box.width) * 3);
    rows_avx2<1>(copy.data(), 0, taps, spread.data(), width, to + y * to_stride, 0);
  }
}

#else
constexpr int kRowSlack = 0;
#endif

void resample_rows(const Picture& from, const Box& box, const Resize& resize, uint8_t* to, bool vector) {
  const size_t from_stride = static_cast<size_t>(from.width) * 3;
  const size_t to_stride = static_cast<size_t>(resize.width) * 3;
  const uint8_t* first = from.data + box.top * from_stride + static_cast<size_t>(box.left) * 3;
  if (resize.width == box.width) {
    for (int y = 0; y < box.height; ++y) std::memcpy(to + y * to_stride, first + y * from_stride, to_stride);
    return;
  }
  const Taps taps = taps_for(box.width, resize.width, resize.filter, resize.antialias);
#ifdef BANTAM_AVX2
  if (vector) return rows_vector(from, box, taps, resize.width, to);
#endif
  for (int y = 0; y < box.height; ++y) {
    row_plain(first + y * from_stride, taps, resize.width, to + y * to_stride);
  }
}

void resample_columns(const uint8_t* from, int rows, const Resize& resize, uint8_t* to, bool vector) {
  const int stride = resize.width * 3;
  const Taps taps = taps_for(rows, resize.height, resize.filter, resize.antialias);
  for (int y = 0; y < resize.height; ++y, to += stride) {
    const uint8_t* first = from + static_cast<size_t>(taps.first[y]) * stride;
    int x = 0;
#ifdef BANTAM_AVX2
    if (vector) x = columns_avx2(first, stride, taps.row(y), taps.count[y], to);
#endif
    columns_plain(first, stride, taps.row(y), taps.count[y], x, to);
  }
}

}  // namespace

bool has_vector_form() {
#ifdef BANTAM_AVX2
  return __builtin_cpu_supports("avx2") != 0;
#else
  return false;
#endif
}

void resample(const Picture& from, const Resize& resize, uint8_t* to, bool vector) {
  const Box& box = resize.box;
  const size_t bytes = static_cast<size_t>(box.height) * resize.width * 3;
  // Kept from call to call: fresh memory costs about as much as the arithmetic.
  static thread_local std::vector<uint8_t> rows;
  if (rows.size() < bytes + kRowSlack) rows.resize(bytes + kRowSlack);
  resample_rows(from, box, resize, rows.data(), vector);
  if (resize.height == box.height) {
    std::memcpy(to, rows.data(), bytes);
  } else {
    resample_columns(rows.data(), box.height, resize, to, vector);
  }
}

}  // namespace bantam::image
