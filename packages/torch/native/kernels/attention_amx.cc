// The attention of attention.h on AMX. The scores of 32 queries with all keys are in the cache at
// once, so a row's softmax is computed by the textbook formula, and the backward pass computes
// it again rather than reading it from memory.
#include "amx.h"
#include "attention_avx512.h"

namespace bantam::gemm {
namespace {

thread_local Scratch scratch;

enum class Form { rows, columns, pairs };

/// Packs a head's matrix [length, depth].
/// - rows: as A, panels of 32 rows, k along the depth
/// - columns: as B, panels of 32 rows that become columns, k along the depth
/// - pairs: as B, panels of 32 positions of the depth, k along the rows
template <Form form>
void pack(const Rows& x, int64_t depth, int64_t padded, uint16_t* target) {
  const int64_t row_steps = padded / 32, depth_steps = depth / 32;
  for (int64_t i = 0; i < row_steps; ++i) {
    for (int64_t j = 0; j < depth_steps; ++j) {
      __m512i rows[32];
      for (int64_t r = 0; r < 32; ++r) {
        const int64_t row = i * 32 + r;
        rows[r] = row < x.length ? _mm512_loadu_si512(x.data + row * x.stride + j * 32) : _mm512_setzero_si512();
      }
      uint16_t* block = target + (form == Form::pairs ? j * row_steps + i : i * depth_steps + j) * kStep;
      if (form == Form::pairs) {
        for (int64_t r = 0; r < 16; ++r) {
          const __m512i low = _mm512_permutex2var_epi16(rows[2 * r], low_order(), rows[2 * r + 1]);
          const __m512i high = _mm512_permutex2var_epi16(rows[2 * r], high_order(), rows[2 * r + 1]);
          _mm512_store_si512(block + r * 32, low);
          _mm512_store_si512(block + kTile + r * 32, high);
        }
        continue;
      }
      if (form == Form::columns) {
        transpose16(rows);
        transpose16(rows + 16);
      }
      for (int64_t r = 0; r < 32; ++r) _mm512_store_si512(block + r * 32, rows[r]);
    }
  }
}

/// A [32, 32] block of A and its transpose, also as A.
void turn_block(const uint16_t* block, uint16_t* target) {
  __m512i low[16], high[16];
  for (int64_t r = 0; r < 16; ++r) {
    const __m512i even = _mm512_load_si512(block + 2 * r * 32), odd = _mm512_load_si512(block + (2 * r + 1) * 32);
    low[r] = _mm512_permutex2var_epi16(even, low_order(), odd);
    high[r] = _mm512_permutex2var_epi16(even, high_order(), odd);
  }
  transpose16(low);
  transpose16(high);
  for (int64_t r = 0; r < 16; ++r) {
    _mm512_store_si512(target + r * 32, low[r]);
    _mm512_store_si512(target + kTile + r * 32, high[r]);
  }
}

/// The softmax of a row of scores, in place; what the row may not see becomes 0.
inline void softmax_row(float* row, int64_t seen, int64_t padded, float scale) {
  const float sum = softmax_terms(row, seen, padded, scale, [&](int64_t i, __m512 e) { _mm512_store_ps(row + i, e); });
  const __m512 share = _mm512_set1_ps(1.0f / sum);
  for (int64_t i = 0; i < padded; i += 16) {
    const __m512 e = _mm512_load_ps(row + i);
    _mm512_store_ps(row + i, _mm512_maskz_mul_ps(not_zero16(e), e, share));
  }
}

/// From a row of probabilities and one of their gradients the row of the scores' gradients, in place
/// of the second: p ⊙ (dp − Σ p·dp) · scale.
inline void softmax_row_backward(const float* p, float* dp, int64_t padded, float scale) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < padded; i += 16) sum = _mm512_fmadd_ps(_mm512_load_ps(p + i), _mm512_load_ps(dp + i), sum);
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum)), factor = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < padded; i += 16) {
    const __m512 each = _mm512_load_ps(p + i), share = _mm512_mul_ps(each, factor);
    const __m512 ds = _mm512_maskz_mul_ps(not_zero16(each), share, _mm512_sub_ps(_mm512_load_ps(dp + i), mean));
    _mm512_store_ps(dp + i, ds);
  }
}

/// 32 rows of `padded` numbers as a panel of A, k along the rows.
inline void pack_rows(const float* values, int64_t padded, uint16_t* target) {
  for (int64_t r = 0; r < kPanel; ++r) {
    for (int64_t step = 0; step < padded / 32; ++step) {
      const float* row = values + r * padded + step * 32;
      _mm512_store_si512(target + step * kStep + r * 32, narrow32(_mm512_load_ps(row), _mm512_load_ps(row + 16)));
    }
  }
}

/// a·b for one panel of A, written as the rows from `row0` on of a head's matrix.
inline void multiply_out(const uint16_t* a, const uint16_t* b, int64_t steps, int64_t depth, int64_t row0,
                         int64_t length, uint16_t* out, int64_t stride) {
  alignas(64) float values[kPanel * kPanel];
  const int64_t rows = smaller(kPanel, length - row0);
  for (int64_t j = 0; j < depth / 32; ++j) {
    multiply_panels(a, b + j * steps * kStep, steps, values, kPanel, false);
    for (int64_t r = 0; r < rows; ++r) {
      const __m512i row = narrow32(_mm512_load_ps(values + r * kPanel), _mm512_load_ps(values + r * kPanel + 16));
      _mm512_storeu_si512(out + (row0 + r) * stride + j * 32, row);
    }
  }
}

/// One head and the sizes in use.
struct Head : HeadPlace {
  int64_t padded, steps, depth_steps, size;

  Head(const Attention& x, int64_t task)
      : HeadPlace(x, task),
        padded(divide_up(x.length, 32) * 32),
        steps(padded / 32),
        depth_steps(x.depth / 32),
        size(padded * x.depth) {}

  /// The probabilities of 32 queries from packed q and k; rows past the end are 0.
  void probabilities(const Attention& x, const uint16_t* qs, const uint16_t* ks, int64_t panel, float* p) const {
    for (int64_t j = 0; j < steps; ++j) {
      multiply_panels(qs + panel * depth_steps * kStep, ks + j * depth_steps * kStep, depth_steps, p + j * kPanel, padded,
                      false);
    }
    for (int64_t r = 0; r < kPanel; ++r) {
      const int64_t query = panel * kPanel + r;
      float* row = p + r * padded;
      if (query < x.length) {
        softmax_row(row, x.causal ? query + 1 : x.length, padded, x.scale);
      } else {
        for (int64_t i = 0; i < padded; i += 16) _mm512_store_ps(row + i, _mm512_setzero_ps());
      }
    }
  }
};

void forward_head(const Attention& x, int64_t task, bool more) {
  const Head head(x, task);
  if (more) head.fetch_next(x.depth);
  const int64_t scores = kPanel * head.padded;
  uint16_t* const qs = scratch.get(3 * head.size + 3 * scores);
  uint16_t *const ks = qs + head.size, *const vs = ks + head.size, *const packed = vs + head.size;
  auto* const p = reinterpret_cast<float*>(packed + scores);
  pack<Form::rows>(head.q, x.depth, head.padded, qs);
  pack<Form::columns>(head.k, x.depth, head.padded, ks);
  pack<Form::pairs>(head.v, x.depth, head.padded, vs);
  const Tiles tiles;
  for (int64_t panel = 0; panel < head.steps; ++panel) {
    head.probabilities(x, qs, ks, panel, p);
    pack_rows(p, head.padded, packed);
    multiply_out(packed, vs, head.steps, x.depth, panel * kPanel, x.length, x.out + head.at_out, head.width);
  }
}

void backward_head(const Attention& x, int64_t task, bool more) {
  const Head head(x, task);
  if (more) {
    head.fetch_next(x.depth);
    fetch({x.dout + head.at_out, head.width, x.length}, x.depth);
  }
  const int64_t scores = kPanel * head.padded, square = head.padded * head.padded;
  uint16_t* next = scratch.get(7 * head.size + 2 * square + 5 * scores);
  const auto take = [&next](int64_t numbers) {
    uint16_t* taken = next;
    next += numbers;
    return taken;
  };
  const Rows dout{x.dout + head.at_out, head.width, x.length};
  uint16_t *const q_rows = take(head.size), *const q_pairs = take(head.size), *const k_columns = take(head.size),
                  *const k_pairs = take(head.size), *const v_columns = take(head.size), *const d_rows = take(head.size),
                  *const d_pairs = take(head.size), *const p_turned = take(square), *const ds_turned = take(square),
                  *const packed = take(scores);
  auto* const p = reinterpret_cast<float*>(take(2 * scores));
  auto* const dp = reinterpret_cast<float*>(take(2 * scores));
  pack<Form::rows>(head.q, x.depth, head.padded, q_rows);
  pack<Form::pairs>(head.q, x.depth, head.padded, q_pairs);
  pack<Form::columns>(head.k, x.depth, head.padded, k_columns);
  pack<Form::pairs>(head.k, x.depth, head.padded, k_pairs);
  pack<Form::columns>(head.v, x.depth, head.padded, v_columns);
  pack<Form::rows>(dout, x.depth, head.padded, d_rows);
  pack<Form::pairs>(dout, x.depth, head.padded, d_pairs);

  uint16_t* const dq = x.dqkv + (head.q.data - x.qkv);
  const int64_t stride = head.q.stride;
  const auto turn = [&](int64_t panel, uint16_t* target) {
    for (int64_t j = 0; j < head.steps; ++j) turn_block(packed + j * kStep, target + (j * head.steps + panel) * kStep);
  };
  const Tiles tiles;
  for (int64_t panel = 0; panel < head.steps; ++panel) {
    head.probabilities(x, q_rows, k_columns, panel, p);
    pack_rows(p, head.padded, packed);
    turn(panel, p_turned);
    for (int64_t j = 0; j < head.steps; ++j) {
      multiply_panels(d_rows + panel * head.depth_steps * kStep, v_columns + j * head.depth_steps * kStep,
                      head.depth_steps, dp + j * kPanel, head.padded, false);
    }
    for (int64_t r = 0; r < kPanel; ++r) {
      softmax_row_backward(p + r * head.padded, dp + r * head.padded, head.padded, x.scale);
    }
    pack_rows(dp, head.padded, packed);
    turn(panel, ds_turned);
    multiply_out(packed, k_pairs, head.steps, x.depth, panel * kPanel, x.length, dq, stride);
  }
  for (int64_t panel = 0; panel < head.steps; ++panel) {
    const int64_t at = panel * head.steps * kStep, row0 = panel * kPanel;
    multiply_out(ds_turned + at, q_pairs, head.steps, x.depth, row0, x.length, dq + head.width, stride);
    multiply_out(p_turned + at, d_pairs, head.steps, x.depth, row0, x.length, dq + 2 * head.width, stride);
  }
}

}  // namespace

namespace BANTAM_TILES {

void attention_forward(const Attention& attention, Runner run) { run_all<forward_head>(attention, run); }
void attention_backward(const Attention& attention, Runner run) { run_all<backward_head>(attention, run); }

}  // namespace BANTAM_TILES

}  // namespace bantam::gemm
