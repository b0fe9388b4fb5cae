// softmax of one row, for loops that become vector instructions.
#pragma once

#include <cstdint>
#include <limits>

#include "simd.h"

namespace bantam {

/// Rows are padded to a multiple.
constexpr int64_t kSoftmaxLanes = 16;

/// softmax of the first `seen` of `padded` scores in place, the others zero. A row with NaN becomes NaN.
BANTAM_INLINE void softmax_row(float* row, int64_t seen, int64_t padded) {
  for (int64_t i = seen; i < padded; ++i) row[i] = -std::numeric_limits<float>::infinity();
  float lanes[kSoftmaxLanes];
  for (int64_t l = 0; l < kSoftmaxLanes; ++l) lanes[l] = row[l];
  for (int64_t i = kSoftmaxLanes; i < padded; i += kSoftmaxLanes) {
    for (int64_t l = 0; l < kSoftmaxLanes; ++l) lanes[l] = at_least(row[i + l], lanes[l]);
  }
  float most = lanes[0];
  for (int64_t l = 1; l < kSoftmaxLanes; ++l) most = at_least(lanes[l], most);
  for (int64_t l = 0; l < kSoftmaxLanes; ++l) lanes[l] = 0;
  for (int64_t i = 0; i < padded; i += kSoftmaxLanes) {
    for (int64_t l = 0; l < kSoftmaxLanes; ++l) {
      row[i + l] = simd_exp(row[i + l] - most);
      lanes[l] += i + l < seen ? row[i + l] : 0.0f;
    }
  }
  float sum = 0;
  for (int64_t l = 0; l < kSoftmaxLanes; ++l) sum += lanes[l];
  const float factor = 1 / sum;
  for (int64_t i = 0; i < padded; ++i) row[i] = i < seen ? row[i] * factor : 0.0f;
}

}  // namespace bantam
