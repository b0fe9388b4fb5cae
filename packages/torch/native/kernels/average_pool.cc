// bantam::average_pool: means over the squares of a map whose channels lie side by side (channels last), for
// inference: one pass over memory, where libtorch's operator takes three.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <torch/library.h>

#include "simd.h"
#include "team.h"

namespace bantam::average_pool {
namespace {

constexpr int64_t kLanes = 16;

BANTAM_INLINE float read(float value) { return value; }
BANTAM_INLINE float read(uint16_t bits) { return from_bfloat16(bits); }
BANTAM_INLINE void write(float* target, float value) { *target = value; }
BANTAM_INLINE void write(uint16_t* target, float value) { *target = to_bfloat16(value); }

/// Sides of the square, and elements from one line of the map to the next.
struct Square {
  int64_t side, line, channels;
};

/// The mean of `count` channels over a square that begins at x.
template <typename E>
BANTAM_INLINE void mean_of(const E* x, const Square& square, int64_t count, E* y) {
  float sums[kLanes] = {};
  for (int64_t row = 0; row < square.side; ++row) {
    for (int64_t column = 0; column < square.side; ++column) {
      const E* from = x + row * square.line + column * square.channels;
      for (int64_t c = 0; c < count; ++c) sums[c] += read(from[c]);
    }
  }
  const float squares = static_cast<float>(square.side * square.side);
  for (int64_t c = 0; c < count; ++c) write(y + c, sums[c] / squares);
}

/// One line of the result: `width` locations.
template <typename E>
BANTAM_INLINE void pool_locations(const E* x, const Square& square, int64_t width, E* y) {
  const int64_t whole = square.channels / kLanes * kLanes;
  for (int64_t i = 0; i < width; ++i, x += square.side * square.channels, y += square.channels) {
    for (int64_t c = 0; c < whole; c += kLanes) mean_of(x + c, square, kLanes, y + c);
    if (whole < square.channels) mean_of(x + whole, square, square.channels - whole, y + whole);
  }
}

/// The same for squares of two by two, whose sums stay in registers.
template <typename E>
BANTAM_INLINE void pool_twos(const E* x, const Square& square, int64_t width, E* y) {
  const int64_t channels = square.channels;
  for (int64_t i = 0; i < width; ++i, x += 2 * channels, y += channels) {
    const E* const below = x + square.line;
    for (int64_t c = 0; c < channels; ++c) {
      write(y + c, (read(x[c]) + read(x[channels + c]) + read(below[c]) + read(below[channels + c])) / 4);
    }
  }
}

template <typename E>
void pool_line(const E* x, const Square& square, int64_t width, E* y) {
  if (square.side == 2) return vectorized([=]() BANTAM_INLINED { pool_twos(x, square, width, y); });
  vectorized([=]() BANTAM_INLINED { pool_locations(x, square, width, y); });
}

template <typename E>
void pool(const at::Tensor& x, const at::Tensor& y, int64_t side) {
  const int64_t height = x.size(2), width = x.size(3), channels = x.size(1), rows = y.size(2), columns = y.size(3);
  const Square square{side, width * channels, channels};
  const auto* from = static_cast<const E*>(x.const_data_ptr());
  auto* to = static_cast<E*>(y.mutable_data_ptr());
  for_rows(x.size(0) * rows, square.line * side / 8, [&](int64_t first, int64_t count) {
    for (int64_t line = first; line < first + count; ++line) {
      const int64_t row = line / rows * height + line % rows * side;
      pool_line(from + row * square.line, square, columns, to + line * columns * channels);
    }
  });
}

at::Tensor average_pool(const at::Tensor& x, int64_t side) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(x.dim() == 4, "an average pooling takes a map of four dimensions, not ", x.dim());
  TORCH_CHECK(side >= 1 && side <= x.size(2) && side <= x.size(3), "squares of ", side, " do not fit a map of ",
              x.size(2), "×", x.size(3));
  const bool fast = x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
                    x.numel() > 0 && x.is_contiguous(at::MemoryFormat::ChannelsLast);
  if (!fast) return at::avg_pool2d(x, side);
  const at::Tensor y = at::detail::empty_cpu({x.size(0), x.size(1), x.size(2) / side, x.size(3) / side},
                                             x.scalar_type(), false, at::MemoryFormat::ChannelsLast);
  if (x.scalar_type() == at::kFloat) {
    pool<float>(x, y, side);
  } else {
    pool<uint16_t>(x, y, side);
  }
  return y;
}

}  // namespace
}  // namespace bantam::average_pool

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("average_pool(Tensor x, int side) -> Tensor", bantam::average_pool::average_pool);
}
