// Matrix products in bfloat16 with AMX, with what surrounds them in a
// network done while the numbers are in the caches: conversion, bias, activation, sums of rows.
#pragma once

#include <cstdint>

namespace bantam::gemm {

enum class Activation : int32_t { none, gelu, gelu_tanh, quick_gelu, relu };

/// A row-major matrix in memory, bfloat16 or float32.
struct Matrix {
  const void* data = nullptr;
  int64_t stride = 0;  // elements from one row to the next
  bool wide = false;   // float32
};

/// One factor of a product.
struct Factor {
  Matrix matrix;
  bool transposed = false;
  Activation activation = Activation::none;  // applied to each element when it is read
};

/// C = epilogue(A·B), A [m, k], B [k, n].
struct Product {
  int64_t m = 0, n = 0, k = 0;
  Factor a, b;
  void* c = nullptr;   // contiguous [m, n]
  bool wide_c = false;  // float32, else bfloat16

  // v = a·b + bias + residual, written to `pre`, then c = activation(v)
  const float* bias = nullptr;            // [n]
  Matrix residual;                        // [m, n]
  Activation activation = Activation::none;
  uint16_t* pre = nullptr;                // bfloat16 [m, n]

  // c = a·b ⊙ slope(x) with the derivative of an activation at bfloat16 x [m, n]
  Activation slope = Activation::none;
  const uint16_t* slope_at = nullptr;

  // Sums over k of a's rows, in parts that must be zero before: [needs().row_sums, m rounded up to
  // 32]; a must be transposed
  float* row_sums = nullptr;
};

/// Calls work(context, task) for each task from 0 to count - 1, several at once.
using Runner = void (*)(int64_t count, void (*work)(void* context, int64_t task), void* context);

/// What a product needs besides its operands.
struct Workspace {
  void* packed = nullptr;  // needs().packed_bytes, aligned to 64 bytes
  int64_t threads = 1;
  Runner run = nullptr;
};

struct Needs {
  int64_t packed_bytes;
  int64_t row_sums;     // parts
};

// On AMX, and for tests on emulated AMX (emulated_tiles.h).
namespace amx {

/// What a product needs.
Needs needs(const Product& product, int64_t threads);

void multiply(const Product& product, const Workspace& workspace);

}  // namespace amx

namespace emulated_amx {

void multiply(const Product& product, const Workspace& workspace);

}  // namespace emulated_amx

}  // namespace bantam::gemm
