// Shapes of results.
#pragma once

#include <ATen/ATen.h>

namespace bantam {

/// The shape of x with another last dimension.
inline std::vector<int64_t> with_width(const at::Tensor& x, int64_t width) {
  auto shape = x.sizes().vec();
  shape.back() = width;
  return shape;
}

}  // namespace bantam
