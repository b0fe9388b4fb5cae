// The passes of a resize for CPUs that multiply bytes four at a time (AVX-512 with VNNI and
// VBMI). Only plain C headers here and in files that include it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bantam::image {

/// Weights of more bits than a byte as three signed bytes each: w = a·2¹⁶ + b·2⁸ + c. The sums of
/// products with the three, put together, are the sum of the plain form in every bit, as integers
/// wrap alike. For every four taps there are three words: their a's, their b's, their c's.
constexpr int kParts = 3;

/// Taps of every output position, in whole groups of four; kParts · `groups` words for each.
struct ByteTaps {
  const int* first;
  const int* count;
  const uint32_t* parts;
  int groups;  // even
};

/// Words behind the last position's that {@link rows_avx512} may read.
constexpr int kPartSlack = 2;

/// The horizontal pass over `rows` rows, four or one; may read 32 bytes behind each.
void rows_avx512(const uint8_t* from, size_t from_stride, int rows, const ByteTaps& taps, int width, uint8_t* to,
                 size_t to_stride);

/// The vertical pass for as many columns of output row `y` as whole vectors cover; returns the first
/// one left.
int columns_avx512(const uint8_t* from, int stride, const ByteTaps& taps, int y, uint8_t* to);

}  // namespace bantam::image
