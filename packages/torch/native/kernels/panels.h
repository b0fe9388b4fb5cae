// Products of activations with weights that were packed beforehand into panels: all that one sweep over the
// inputs needs of some outputs is side by side. Rows of the activations may be anywhere in memory, so that
// one kernel computes linear layers and convolutions. Only plain C headers here.
#pragma once

#include <cstdint>

namespace bantam::panels {

/// y = x·Wᵀ + bias + residual, through max(·, 0) if asked; the numbers in float32, or in bfloat16 as bits with
/// sums in float32.
template <typename Number>
struct ProductOf {
  int64_t rows = 0;
  int64_t outputs = 0;   // a multiple of the level's lanes
  int64_t depth = 0;     // inputs: the sum of the depths of all segments
  int64_t segments = 1;  // parts of a row of x, each contiguous in memory
  const Number* const* sources = nullptr;  // [rows of the part, segments]
  const int64_t* depths = nullptr;         // [segments]; in bfloat16 even numbers
  const Number* weight = nullptr;          // panels, one below the other; in bfloat16 of two inputs at a time
  const float* bias = nullptr;             // [outputs], or none
  const Number* residual = nullptr;        // as y, or none
  Number* y = nullptr;
  int64_t stride = 0;  // elements of y and residual from one row to the next
  bool relu = false;
};

using Product = ProductOf<float>;
using Bfloat16Product = ProductOf<uint16_t>;

/// y = scale·(x − 128)·Wᵀ for x in unsigned bytes and W in signed ones: float32 [rows, outputs].
struct Int8Product {
  int64_t rows = 0;
  int64_t outputs = 0;  // a multiple of the level's lanes
  int64_t depth = 0;    // inputs, a multiple of 4
  const uint8_t* x = nullptr;          // [rows, depth]
  const int8_t* weight = nullptr;      // panels of four inputs at a time
  const int32_t* correction = nullptr;  // 128·ΣW of each output, for kernels that read x unchanged
  const float* scale = nullptr;        // of each output
  float* y = nullptr;                  // [rows, outputs]
};

/// Part of a product: outputs from a multiple of the panels' width on, and rows.
struct Part {
  int64_t first_output, end_output, first_row, end_row;
};

/// Outputs of a vector and of a panel, of which the last may have fewer vectors, and rows of a tile.
struct Shape {
  int64_t lanes, width, rows;
};

constexpr Shape kAvx2Shape{8, 16, 6}, kAvx2Int8Shape{8, 16, 4}, kAvx512Shape{16, 64, 6};

void multiply_avx2(const Product& product, const Part& part);
void multiply_avx512(const Product& product, const Part& part);
/// Needs AVX512-BF16.
void multiply_bfloat16_avx512(const Bfloat16Product& product, const Part& part);

void multiply_int8_avx2(const Int8Product& product, const Part& part);
/// Needs AVX-VNNI.
void multiply_int8_avx2_vnni(const Int8Product& product, const Part& part);
/// Needs AVX512-VNNI.
void multiply_int8_avx512(const Int8Product& product, const Part& part);

}  // namespace bantam::panels
