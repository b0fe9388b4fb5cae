// The passes over a map's memory that batch normalisation takes (batch_norm.cc): rows of channels that lie
// side by side, in float32 or bfloat16.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd.h"

namespace bantam {
namespace {

// A block is summed up in float32 before it joins a total in float64: few elements, so that a second
// look at them finds them in the cache, and few rows, so that their sums lose little.
constexpr int64_t kBlock = 1 << 15;
constexpr int64_t kBlockRows = 64;

BANTAM_INLINE float load(float value) { return value; }
BANTAM_INLINE float load(uint16_t bits) { return from_bfloat16(bits); }
BANTAM_INLINE void store(float* target, float value) { *target = value; }
BANTAM_INLINE void store(uint16_t* target, float value) { *target = to_bfloat16(value); }

BANTAM_INLINE int64_t block_rows(int64_t channels) {
  return std::clamp<int64_t>(kBlock / channels, 8, kBlockRows);
}

/// Mean and Σ(x − mean)² of each channel, block by block (Chan, Golub and LeVeque 1983, eq. 2.1). A block
/// sums distances from its first row, so that a mean far from zero takes no digits away.
template <typename E>
BANTAM_INLINE void moments(const E* x, int64_t rows, int64_t channels, double* __restrict mean,
                           double* __restrict squares, float* __restrict scratch) {
  float* __restrict block_mean = scratch;
  float* __restrict block_squares = scratch + channels;
  const int64_t step = block_rows(channels);
  std::fill_n(mean, channels, 0.0);
  std::fill_n(squares, channels, 0.0);
  for (int64_t seen = 0; seen < rows; seen += step) {
    const int64_t count = std::min(step, rows - seen);
    std::fill_n(scratch, 2 * channels, 0.0f);
    const E* first = x + seen * channels;
    const E* row = first;
    for (int64_t r = 0; r < count; ++r, row += channels) {
      for (int64_t c = 0; c < channels; ++c) block_mean[c] += load(row[c]) - load(first[c]);
    }
    for (int64_t c = 0; c < channels; ++c) {
      block_mean[c] = load(first[c]) + block_mean[c] / static_cast<float>(count);
    }
    row = first;
    for (int64_t r = 0; r < count; ++r, row += channels) {
      for (int64_t c = 0; c < channels; ++c) {
        const float distance = load(row[c]) - block_mean[c];
        block_squares[c] += distance * distance;
      }
    }
    const double share = static_cast<double>(count) / static_cast<double>(seen + count);
    const double weight = share * static_cast<double>(seen);
    for (int64_t c = 0; c < channels; ++c) {
      const double distance = block_mean[c] - mean[c];
      mean[c] += share * distance;
      squares[c] += block_squares[c] + weight * distance * distance;
    }
  }
}

/// What the passes over a map need to know of each channel.
struct Channels {
  int64_t count;
  const float* mean;
  const float* scale;  // weight/√(variance + eps)
  const float* shift;  // bias − mean·scale
};

template <typename E, bool kResidual, bool kRelu>
BANTAM_INLINE void normalize_rows(const E* __restrict x, const E* __restrict residual, E* __restrict y,
                                  int64_t rows, const Channels& channels) {
  const float* __restrict scale = channels.scale;
  const float* __restrict shift = channels.shift;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t start = r * channels.count;
    for (int64_t c = 0; c < channels.count; ++c) {
      float value = load(x[start + c]) * scale[c] + shift[c];
      if constexpr (kResidual) value += load(residual[start + c]);
      if constexpr (kRelu) value = at_least(value, 0.0f);
      store(y + start + c, value);
    }
  }
}

/// y = x·scale + shift (+ residual), then max(·, 0) where asked for.
template <typename E>
BANTAM_INLINE void normalize(const E* x, const E* residual, E* y, int64_t rows, const Channels& channels,
                             bool relu) {
  if (residual != nullptr) {
    if (relu) return normalize_rows<E, true, true>(x, residual, y, rows, channels);
    return normalize_rows<E, true, false>(x, residual, y, rows, channels);
  }
  if (relu) return normalize_rows<E, false, true>(x, residual, y, rows, channels);
  normalize_rows<E, false, false>(x, residual, y, rows, channels);
}

/// What the gradient passes by: nothing is in its way, or max(·, 0), whose sign is known from the
/// result y where a residual was added, and from x else, so that y need not be read.
enum class Gate { open, by_result, by_input };

template <Gate kGate, typename E>
BANTAM_INLINE float gated(const E* dy, const E* x, const E* y, int64_t i, float scale, float shift) {
  const float gradient = load(dy[i]);
  if constexpr (kGate == Gate::open) return gradient;
  const float value = kGate == Gate::by_result ? load(y[i]) : load(x[i]) * scale + shift;
  return value <= 0.0f ? 0.0f : gradient;
}

template <Gate kGate, typename E>
BANTAM_INLINE void sum_rows(const E* __restrict dy, const E* __restrict x, const E* __restrict y, E* __restrict g,
                            int64_t rows, const Channels& channels, double* __restrict sums,
                            double* __restrict products, float* __restrict scratch) {
  const int64_t count = channels.count;
  const float* __restrict mean = channels.mean;
  const float* __restrict scale = channels.scale;
  const float* __restrict shift = channels.shift;
  float* __restrict block_sums = scratch;
  float* __restrict block_products = scratch + count;
  const int64_t step = block_rows(count);
  std::fill_n(sums, count, 0.0);
  std::fill_n(products, count, 0.0);
  for (int64_t begin = 0; begin < rows; begin += step) {
    std::fill_n(scratch, 2 * count, 0.0f);
    for (int64_t r = begin; r < std::min(rows, begin + step); ++r) {
      const int64_t start = r * count;
      for (int64_t c = 0; c < count; ++c) {
        const float gradient = gated<kGate>(dy, x, y, start + c, scale[c], shift[c]);
        if constexpr (kGate == Gate::by_result) store(g + start + c, gradient);
        block_sums[c] += gradient;
        block_products[c] += gradient * (load(x[start + c]) - mean[c]);
      }
    }
    for (int64_t c = 0; c < count; ++c) sums[c] += block_sums[c];
    for (int64_t c = 0; c < count; ++c) products[c] += block_products[c];
  }
}

/// Σg and Σg·(x − mean) with g the gradient behind max(·, 0); writes g where a residual needs it.
template <typename E>
BANTAM_INLINE void gradient_sums(const E* dy, const E* x, const E* y, E* g, int64_t rows, const Channels& channels,
                                 Gate gate, double* sums, double* products, float* scratch) {
  if (gate == Gate::open) return sum_rows<Gate::open>(dy, x, y, g, rows, channels, sums, products, scratch);
  if (gate == Gate::by_input) {
    return sum_rows<Gate::by_input>(dy, x, y, g, rows, channels, sums, products, scratch);
  }
  sum_rows<Gate::by_result>(dy, x, y, g, rows, channels, sums, products, scratch);
}

template <Gate kGate, bool kTraining, typename E>
BANTAM_INLINE void input_rows(const E* __restrict g, const E* __restrict x, E* __restrict dx, int64_t rows,
                              const Channels& channels, const float* __restrict slope,
                              const float* __restrict offset) {
  const float* __restrict mean = channels.mean;
  const float* __restrict scale = channels.scale;
  const float* __restrict shift = channels.shift;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t start = r * channels.count;
    for (int64_t c = 0; c < channels.count; ++c) {
      const float gradient = gated<kGate>(g, x, x, start + c, scale[c], shift[c]);
      float value = scale[c] * gradient;
      if constexpr (kTraining) value = value - slope[c] * (load(x[start + c]) - mean[c]) - offset[c];
      store(dx + start + c, value);
    }
  }
}

/// ∂/∂x = scale·g − slope·(x − mean) − offset; without slope and offset scale·g, as statistics that do not
/// depend on x give it.
template <typename E>
BANTAM_INLINE void input_gradient(const E* g, const E* x, E* dx, int64_t rows, const Channels& channels, Gate gate,
                                  const float* slope, const float* offset) {
  if (slope == nullptr) {
    if (gate == Gate::by_input) return input_rows<Gate::by_input, false>(g, x, dx, rows, channels, slope, offset);
    return input_rows<Gate::open, false>(g, x, dx, rows, channels, slope, offset);
  }
  if (gate == Gate::by_input) return input_rows<Gate::by_input, true>(g, x, dx, rows, channels, slope, offset);
  input_rows<Gate::open, true>(g, x, dx, rows, channels, slope, offset);
}

// The four passes in the version for the level.

template <typename E>
void moments_pass(const E* x, int64_t rows, int64_t channels, double* mean, double* squares, float* scratch) {
  vectorized([=]() BANTAM_INLINED { moments(x, rows, channels, mean, squares, scratch); });
}

template <typename E>
void normalize_pass(const E* x, const E* residual, E* y, int64_t rows, const Channels& channels, bool relu) {
  vectorized([=]() BANTAM_INLINED { normalize(x, residual, y, rows, channels, relu); });
}

template <typename E>
void sums_pass(const E* dy, const E* x, const E* y, E* g, int64_t rows, const Channels& channels, Gate gate,
               double* sums, double* products, float* scratch) {
  vectorized([=]() BANTAM_INLINED { gradient_sums(dy, x, y, g, rows, channels, gate, sums, products, scratch); });
}

template <typename E>
void input_pass(const E* g, const E* x, E* dx, int64_t rows, const Channels& channels, Gate gate, const float* slope,
                const float* offset) {
  vectorized([=]() BANTAM_INLINED { input_gradient(g, x, dx, rows, channels, gate, slope, offset); });
}

}  // namespace
}  // namespace bantam
