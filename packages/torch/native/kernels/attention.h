// Attention of short sequences, forward and backward, a head at a time within the caches.
#pragma once

#include <cstdint>

#include "gemm.h"

namespace bantam::gemm {

constexpr int64_t kMaxLength = 512;

/// softmax(scale·q·kᵀ)·v for each sequence and head; bfloat16.
struct Attention {
  int64_t batch = 0, length = 0, heads = 0;
  int64_t depth = 0;  // of a head: a multiple of 32
  float scale = 1;
  bool causal = false;
  const uint16_t* qkv = nullptr;  // [batch, length, 3, heads, depth]
  uint16_t* out = nullptr;        // [batch, length, heads, depth]
  const uint16_t* dout = nullptr;
  uint16_t* dqkv = nullptr;
};

namespace amx {

void attention_forward(const Attention& attention, Runner run);
void attention_backward(const Attention& attention, Runner run);

}  // namespace amx

// On emulated AMX, for tests.
namespace emulated_amx {

void attention_forward(const Attention& attention, Runner run);
void attention_backward(const Attention& attention, Runner run);

}  // namespace emulated_amx

// For CPUs with AVX512-BF16.
namespace avx512 {

void attention_forward(const Attention& attention, Runner run);
void attention_backward(const Attention& attention, Runner run);

}  // namespace avx512

}  // namespace bantam::gemm
