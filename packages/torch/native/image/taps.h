// The weights of a resize in one direction, in the fixed-point arithmetic of PIL's Image.resize.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "resample.h"

namespace bantam::image {

/// For each output position: the first input position, how many, and their integer weights. Rows
/// of weights are filled up with zeros to a multiple of four.
struct Taps {
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> weights;
  int most = 0;

  const int32_t* row(int i) const { return weights.data() + static_cast<size_t>(i) * most; }
};

Taps taps_for(int from, int to, Filter filter, bool antialias);

}  // namespace bantam::image
