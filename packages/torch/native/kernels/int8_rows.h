// Around an int8 product of a linear layer, row by row: activations in, sums out, at the level of the CPU.
// Only plain C headers here.
#pragma once

#include "gemm.h"

namespace bantam::int8 {

/// q = 128 + round(x·127 / max|x|) for each row, so that x ≈ scale·(q − 128) with scale = max|x| / 127.
/// The scale of a row that is not finite is NaN.
void quantize_rows(const gemm::Matrix& x, int64_t rows, int64_t width, uint8_t* q, float* scale);

/// What becomes of the sums of a product, [rows, width].
struct Finish {
  int64_t rows = 0, width = 0;
  float* sums = nullptr;
  int64_t stride = 0;            // of the sums, from one row to the next
  const float* scale = nullptr;  // of the rows
  const float* bias = nullptr;   // of the columns, or none
};

/// y = scale·sums + bias + residual. y is bfloat16 or, where `wide`, float32, with `stride` elements
/// from one row to the next.
void finish_rows(const Finish& finish, const gemm::Matrix& residual, void* y, int64_t stride, bool wide);

/// sums = activation(scale·sums + bias), in their place.
void activate_rows(const Finish& finish, gemm::Activation activation);

/// The same with AVX-512.
namespace avx512 {

void quantize_rows(const gemm::Matrix& x, int64_t rows, int64_t width, uint8_t* q, float* scale);
void finish_rows(const Finish& finish, const gemm::Matrix& residual, void* y, int64_t stride, bool wide);
void activate_rows(const Finish& finish, gemm::Activation activation);

}  // namespace avx512

}  // namespace bantam::int8
