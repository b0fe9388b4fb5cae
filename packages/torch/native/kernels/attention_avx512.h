// Attention of attention.h on AMX and AVX-512 alike: the layout of a head's matrices, its
// softmax, and how the work is shared out. Only for files compiled for AVX-512.
#pragma once

#include "activation_avx512.h"
#include "attention.h"
#include "packing_avx512.h"

namespace bantam::gemm {
namespace {

/// One head's q, k, v or output: `length` rows.
struct Rows {
  const uint16_t* data;
  int64_t stride, length;
};

/// Fetches the next head's part of the same rows: short runs far apart in memory.
inline void fetch(const Rows& rows, int64_t depth) {
  for (int64_t row = 0; row < rows.length; ++row) {
    for (int64_t i = 0; i < depth; i += 32) _mm_prefetch(rows.data + row * rows.stride + depth + i, _MM_HINT_T1);
  }
}

/// Where one head's matrices lie.
struct HeadPlace {
  int64_t width;
  Rows q, k, v;
  int64_t at_out;

  HeadPlace(const Attention& x, int64_t task) : width(x.heads * x.depth) {
    const int64_t sequence = task / x.heads, head = task % x.heads;
    const uint16_t* data = x.qkv + sequence * x.length * 3 * width + head * x.depth;
    q = {data, 3 * width, x.length};
    k = {data + width, 3 * width, x.length};
    v = {data + 2 * width, 3 * width, x.length};
    at_out = sequence * x.length * width + head * x.depth;
  }

  void fetch_next(int64_t depth) const {
    fetch(q, depth);
    fetch(k, depth);
    fetch(v, depth);
  }
};

/// 2ˣ for x ≤ 0, relative error below 4e-6: far less than bfloat16 shows. x = n + r, 2ʳ by the polynomial
/// of degree 4 through Chebyshev's points. Below −100 it stays at 2⁻¹⁰⁰; NaN stays NaN.
inline __m512 power_of_two16(__m512 x) {
  x = at_least16(x, -100);
  const __m512 n = _mm512_roundscale_ps(x, 8), r = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(9.6663685e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5921976e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022349e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9312105e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

/// The positions of a row that it sees: terms and probabilities of others are 0, and no others are.
inline __mmask16 not_zero16(__m512 x) { return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ); }

/// Calls store(position, terms) with e^(scale·(score − largest score)) of 16 positions of a row at a time, 0
/// for what the row may not see, up to `padded`. → their sum. A row with a NaN, with +∞ or with nothing but
/// −∞ has a NaN for its sum.
template <typename Store>
inline float softmax_terms(const float* row, int64_t seen, int64_t padded, float scale, Store&& store) {
  const __m512 lowest = _mm512_set1_ps(-INFINITY);
  const int64_t whole = seen & ~int64_t{15};
  const auto rest = static_cast<__mmask16>(first_bits(seen - whole));
  __m512 most = _mm512_mask_loadu_ps(lowest, rest, row + whole);
  for (int64_t i = 0; i < whole; i += 16) most = _mm512_max_ps(most, _mm512_load_ps(row + i));
  // In powers of two: log₂e·scale·score − log₂e·scale·largest.
  const __m512 factor = _mm512_set1_ps(scale * 1.44269504f);
  const __m512 shift = _mm512_mul_ps(factor, _mm512_set1_ps(_mm512_reduce_max_ps(most)));
  __m512 sum = _mm512_setzero_ps();
  const auto add = [&](int64_t i, __m512 e) {
    sum = _mm512_add_ps(sum, e);
    store(i, e);
  };
  const auto term = [&](int64_t i) { return power_of_two16(_mm512_fmsub_ps(_mm512_load_ps(row + i), factor, shift)); };
  int64_t i = 0;
  for (; i < whole; i += 16) add(i, term(i));
  if (rest != 0) {
    add(i, _mm512_maskz_mov_ps(rest, term(i)));
    i += 16;
  }
  for (; i < padded; i += 16) store(i, _mm512_setzero_ps());
  return _mm512_reduce_add_ps(sum);
}

/// All heads of a sequence, one after the other.
template <void (*head)(const Attention&, int64_t, bool)>
void sequence(void* context, int64_t task) {
  const auto& x = *static_cast<const Attention*>(context);
  for (int64_t i = 0; i < x.heads; ++i) head(x, task * x.heads + i, i + 1 < x.heads);
}

template <void (*head)(const Attention&, int64_t, bool)>
void one_head(void* context, int64_t task) {
  head(*static_cast<const Attention*>(context), task, false);
}

/// Runs head(attention, task, whether its neighbour comes next) for all heads. Sequences are the
/// tasks, or heads where sequences are too few to share out evenly.
template <void (*head)(const Attention&, int64_t, bool)>
void run_all(Attention x, Runner run) {
  if (x.batch >= 16) run(x.batch, sequence<head>, &x);
  else run(x.batch * x.heads, one_head<head>, &x);
}

}  // namespace
}  // namespace bantam::gemm
