// The rows around int8 products on CPUs without AVX-512; those with it have int8_rows_avx512.cc.
#include "int8_rows.h"

#include <algorithm>

#include "float_activation.h"
#include "simd.h"

namespace bantam::int8 {
namespace {

using gemm::Activation;
using gemm::Matrix;

constexpr int64_t kLanes = 16;

BANTAM_INLINE float value_of(float x) { return x; }
BANTAM_INLINE float value_of(uint16_t x) { return from_bfloat16(x); }
BANTAM_INLINE void set_value(float& y, float x) { y = x; }
BANTAM_INLINE void set_value(uint16_t& y, float x) { y = to_bfloat16(x); }

/// |x| as a whole number, which has the order of the numbers, with infinity and NaN behind all others.
BANTAM_INLINE uint32_t size_bits(float x) { return std::bit_cast<uint32_t>(x) & 0x7fffffffu; }

template <typename T>
BANTAM_INLINE uint32_t largest_bits(const T* x, int64_t width) {
  uint32_t lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const uint32_t bits = size_bits(value_of(x[i + l]));
      lanes[l] = bits > lanes[l] ? bits : lanes[l];
    }
  }
  for (; i < width; ++i) lanes[0] = std::max(lanes[0], size_bits(value_of(x[i])));
  return *std::max_element(lanes, lanes + kLanes);
}

template <typename T>
BANTAM_INLINE void quantize_row(const T* x, int64_t width, uint8_t* q, float* scale) {
  constexpr uint32_t kInfinity = 0x7f800000;
  // Added to a number it leaves the nearest whole number, even of two, in the last bits.
  constexpr float kRounder = 12582912;
  const uint32_t bits = largest_bits(x, width);
  const float most = std::bit_cast<float>(bits);
  // Of numbers that are nearly nothing 127 / max|x| would be infinite.
  const float factor = bits < kInfinity && most > 1e-30f ? 127.0f / most : 0.0f;
  *scale = bits < kInfinity ? most / 127.0f : std::bit_cast<float>(0x7fc00000u);
  for (int64_t i = 0; i < width; ++i) {
    const float rounded = value_of(x[i]) * factor + kRounder;
    q[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRounder) + 128);
  }
}

template <typename T>
void quantize(const T* x, int64_t stride, int64_t rows, int64_t width, uint8_t* q, float* scale) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t row = 0; row < rows; ++row) quantize_row(x + row * stride, width, q + row * width, scale + row);
  });
}

template <typename Residual, typename Result>
void finish(const Finish& f, const Residual* residual, int64_t residual_stride, Result* y, int64_t stride) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t row = 0; row < f.rows; ++row) {
      const float* sums = f.sums + row * f.stride;
      const float scale = f.scale[row];
      Result* to = y + row * stride;
      for (int64_t i = 0; i < f.width; ++i) {
        float value = sums[i] * scale;
        if (f.bias != nullptr) value += f.bias[i];
        if (residual != nullptr) value += value_of(residual[row * residual_stride + i]);
        set_value(to[i], value);
      }
    }
  });
}

template <typename Result>
void finish_into(const Finish& f, const Matrix& residual, Result* y, int64_t stride) {
  if (residual.wide || residual.data == nullptr) {
    finish(f, static_cast<const float*>(residual.data), residual.stride, y, stride);
  } else {
    finish(f, static_cast<const uint16_t*>(residual.data), residual.stride, y, stride);
  }
}

bool has_avx512() {
#ifdef BANTAM_AVX512
  return vector_level() >= Level::avx512;
#else
  return false;
#endif
}

}  // namespace

void quantize_rows(const Matrix& x, int64_t rows, int64_t width, uint8_t* q, float* scale) {
#ifdef BANTAM_AVX512
  if (has_avx512()) return avx512::quantize_rows(x, rows, width, q, scale);
#endif
  if (x.wide) return quantize(static_cast<const float*>(x.data), x.stride, rows, width, q, scale);
  quantize(static_cast<const uint16_t*>(x.data), x.stride, rows, width, q, scale);
}

void finish_rows(const Finish& finish, const Matrix& residual, void* y, int64_t stride, bool wide) {
#ifdef BANTAM_AVX512
  if (has_avx512()) return avx512::finish_rows(finish, residual, y, stride, wide);
#endif
  if (wide) return finish_into(finish, residual, static_cast<float*>(y), stride);
  finish_into(finish, residual, static_cast<uint16_t*>(y), stride);
}

void activate_rows(const Finish& finish, Activation activation) {
#ifdef BANTAM_AVX512
  if (has_avx512()) return avx512::activate_rows(finish, activation);
#endif
  bantam::int8::finish<float, float>(finish, nullptr, 0, finish.sums, finish.stride);
  activate_floats(activation, finish.sums, finish.rows, finish.width, finish.stride);
}

}  // namespace bantam::int8
