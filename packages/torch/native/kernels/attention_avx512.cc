// The attention of attention.h on AVX512-BF16. As on AMX the scores of some queries with all keys are in
// the cache at once. Products read their left factor where it is and broadcast a pair of its numbers
// at a time; only the right one is packed.
#include "attention_avx512.h"

namespace bantam::gemm {
namespace {

constexpr int64_t kRows = 6;     // of a block of a product,
constexpr int64_t kVectors = 4;  // with so many vectors of 16 columns: 24 sums in registers
constexpr int64_t kBlock = 24;   // queries whose scores are in the cache at once: whole blocks, pairs

thread_local Scratch scratch;

/// The left factor of a product, pairs of neighbours along k: where the pair of the next row and the
/// next pair of the same row are.
struct Left {
  const uint16_t* data;
  int64_t row, step;

  Left from(int64_t first_row) const { return {data + first_row * row, row, step}; }
};

/// The right factor: a row of pairs for each two positions along k. The stride is in numbers.
struct Right {
  const uint16_t* data;
  int64_t stride;
};

/// c [rows, 16·vectors] = a·b over `steps` pairs.
template <int rows, int vectors>
void multiply_block(const Left& a, const Right& b, int64_t steps, float* c, int64_t c_stride) {
  __m512 sums[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  const uint16_t *left = a.data, *right = b.data;
  for (int64_t step = 0; step < steps; ++step, left += a.step, right += b.stride) {
    __m512i columns[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) columns[v] = _mm512_load_si512(right + v * 32);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, left + r * a.row, sizeof pair);
      const __m512i row = _mm512_set1_epi32(pair);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], reinterpret_cast<__m512bh>(row),
                                      reinterpret_cast<__m512bh>(columns[v]));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) _mm512_store_ps(c + r * c_stride + v * 16, sums[r][v]);
  }
}

using Multiply = void (*)(const Left&, const Right&, int64_t, float*, int64_t);

#define BANTAM_ROWS(rows) \
  { multiply_block<rows, 1>, multiply_block<rows, 2>, multiply_block<rows, 3>, multiply_block<rows, 4> }
constexpr Multiply kMultiply[kRows][kVectors] = {BANTAM_ROWS(1), BANTAM_ROWS(2), BANTAM_ROWS(3),
                                                 BANTAM_ROWS(4), BANTAM_ROWS(5), BANTAM_ROWS(6)};
#undef BANTAM_ROWS

/// c [rows, columns] = a·b over `steps` pairs, for a multiple of 16 columns.
void multiply(const Left& a, const Right& b, int64_t steps, float* c, int64_t c_stride, int64_t rows,
              int64_t columns) {
  const int64_t vectors = columns / 16, parts = divide_up(vectors, kVectors);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = vectors * part / parts, count = vectors * (part + 1) / parts - first;
    for (int64_t row = 0; row < rows; row += kRows) {
      const Multiply block = kMultiply[smaller(kRows, rows - row) - 1][count - 1];
      block(a.from(row), {b.data + first * 32, b.stride}, steps, c + row * c_stride + first * 16, c_stride);
    }
  }
}

/// A head's matrix [length, depth] as the right factor of products along the depth: rows become
/// columns, with zeros up to `padded`.
void pack_columns(const Rows& x, int64_t depth, int64_t padded, uint16_t* target) {
  for (int64_t first = 0; first < padded; first += 16) {
    for (int64_t j = 0; j < depth; j += 32) {
      __m512i rows[16];
      for (int64_t r = 0; r < 16; ++r) {
        const bool inside = first + r < x.length;
        rows[r] = inside ? _mm512_loadu_si512(x.data + (first + r) * x.stride + j) : _mm512_setzero_si512();
      }
      transpose16(rows);
      for (int64_t r = 0; r < 16; ++r) _mm512_store_si512(target + (j / 2 + r) * padded * 2 + first * 2, rows[r]);
    }
  }
}

/// A head's matrix [length, depth] as the right factor of products along its rows.
void pack_pairs(const Rows& x, int64_t depth, uint16_t* target) {
  for (int64_t row = 0; row < x.length; row += 2, target += depth * 2) {
    const uint16_t* even = x.data + row * x.stride;
    for (int64_t j = 0; j < depth; j += 32) {
      const __m512i a = _mm512_loadu_si512(even + j);
      const __m512i b = row + 1 < x.length ? _mm512_loadu_si512(even + x.stride + j) : _mm512_setzero_si512();
      _mm512_store_si512(target + j * 2, _mm512_permutex2var_epi16(a, low_order(), b));
      _mm512_store_si512(target + j * 2 + 32, _mm512_permutex2var_epi16(a, high_order(), b));
    }
  }
}

/// Rows of values as bfloat16, times a factor of each row where there is one.
void write_rows(const float* values, const float* factors, int64_t rows, int64_t depth, uint16_t* out, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r, values += depth, out += stride) {
    const __m512 factor = _mm512_set1_ps(factors == nullptr ? 1.0f : factors[r]);
    for (int64_t j = 0; j < depth; j += 32) {
      const __m512 low = _mm512_load_ps(values + j), high = _mm512_load_ps(values + j + 16);
      _mm512_storeu_si512(out + j, narrow32(_mm512_mul_ps(low, factor), _mm512_mul_ps(high, factor)));
    }
  }
}

/// Two vectors as bfloat16, each number of the first beside that of the second.
__m512i pair_up(__m512 even, __m512 odd) {
  alignas(64) static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(order), narrow32(even, odd));
}

void store16(uint16_t* out, __m512 x) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(out), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

/// One head, the sizes in use, and its part of the scratch memory.
struct Head : HeadPlace {
  const Attention& x;
  int64_t padded, pairs, depth_pairs;

  Head(const Attention& attention, int64_t task)
      : HeadPlace(attention, task),
        x(attention),
        padded(divide_up(x.length, 16) * 16),
        pairs(divide_up(x.length, 2)),
        depth_pairs(x.depth / 2) {}

  /// Keys that a query sees.
  int64_t seen(int64_t query) const { return x.causal ? query + 1 : x.length; }
};

/// Takes chunks of a thread's scratch memory, each at the start of a cache line.
class Chunks {
 public:
  explicit Chunks(int64_t numbers) : next_(scratch.get(numbers)) {}
  uint16_t* narrow(int64_t numbers) {
    uint16_t* const taken = next_;
    next_ += divide_up(numbers, 32) * 32;
    return taken;
  }
  float* wide(int64_t numbers) { return reinterpret_cast<float*>(narrow(2 * numbers)); }

 private:
  uint16_t* next_;
};

void forward_head(const Attention& x, int64_t task, bool more) {
  const Head head(x, task);
  if (more) head.fetch_next(x.depth);
  const int64_t scores = kBlock * head.padded, block = kBlock * x.depth;
  Chunks chunks(2 * head.padded * x.depth + 3 * scores + 2 * block);
  uint16_t *const ks = chunks.narrow(head.padded * x.depth), *const vs = chunks.narrow(head.padded * x.depth),
                  *const p = chunks.narrow(scores);
  float *const s = chunks.wide(scores), *const values = chunks.wide(block);
  pack_columns(head.k, x.depth, head.padded, ks);
  pack_pairs(head.v, x.depth, vs);
  for (int64_t first = 0; first < x.length; first += kBlock) {
    const int64_t rows = smaller(kBlock, x.length - first);
    // Causal queries need only the keys up to the last of them.
    const int64_t keys = head.seen(first + rows - 1), columns = divide_up(keys, 16) * 16;
    multiply({head.q.data + first * head.q.stride, head.q.stride, 2}, {ks, head.padded * 2}, head.depth_pairs, s,
             head.padded, rows, columns);
    alignas(64) float shares[kBlock];
    for (int64_t r = 0; r < rows; ++r) {
      uint16_t* const terms = p + r * head.padded;
      shares[r] = 1.0f / softmax_terms(s + r * head.padded, head.seen(first + r), columns, x.scale,
                                       [&](int64_t i, __m512 e) { store16(terms + i, e); });
    }
    multiply({p, head.padded, 2}, {vs, x.depth * 2}, divide_up(keys, 2), values, x.depth, rows, x.depth);
    write_rows(values, shares, rows, x.depth, x.out + head.at_out + first * head.width, head.width);
  }
}

/// A row of scores on its way to probabilities p and gradients of the scores,
/// p ⊙ (dp − Σ p·dp) · scale. Where the row may not see, both are 0 even if the row's sum is NaN.
struct ScoreRow {
  const float *terms = nullptr, *dp = nullptr;
  __m512 share, mean, factor;

  ScoreRow() = default;
  ScoreRow(float* scores, const float* gradient, int64_t seen, int64_t columns, float scale)
      : terms(scores), dp(gradient) {
    __m512 weighted = _mm512_setzero_ps();
    const float sum = softmax_terms(scores, seen, columns, scale, [&](int64_t i, __m512 e) {
      weighted = _mm512_fmadd_ps(e, _mm512_load_ps(gradient + i), weighted);
      _mm512_store_ps(scores + i, e);
    });
    share = _mm512_set1_ps(1.0f / sum);
    mean = _mm512_set1_ps(_mm512_reduce_add_ps(weighted) / sum);
    factor = _mm512_set1_ps(scale / sum);
  }

  void finish(int64_t i, __m512& p, __m512& ds) const {
    const __m512 e = _mm512_load_ps(terms + i);
    const __mmask16 seen = not_zero16(e);
    p = _mm512_maskz_mul_ps(seen, e, share);
    ds = _mm512_maskz_mul_ps(seen, _mm512_mul_ps(e, factor), _mm512_sub_ps(_mm512_load_ps(dp + i), mean));
  }
};

void backward_head(const Attention& x, int64_t task, bool more) {
  const Head head(x, task);
  const Rows dout{x.dout + head.at_out, head.width, x.length};
  if (more) {
    head.fetch_next(x.depth);
    fetch(dout, x.depth);
  }
  const int64_t size = head.padded * x.depth, scores = kBlock * head.padded, block = kBlock * x.depth,
                square = head.padded * head.padded;
  Chunks chunks(5 * size + 2 * square + 5 * scores + 2 * block);
  uint16_t *const k_columns = chunks.narrow(size), *const v_columns = chunks.narrow(size),
                  *const k_pairs = chunks.narrow(size), *const q_pairs = chunks.narrow(size),
                  *const d_pairs = chunks.narrow(size), *const p_pairs = chunks.narrow(square),
                  *const ds_pairs = chunks.narrow(square), *const ds = chunks.narrow(scores);
  float *const s = chunks.wide(scores), *const dp = chunks.wide(scores), *const values = chunks.wide(block);
  pack_columns(head.k, x.depth, head.padded, k_columns);
  pack_columns(head.v, x.depth, head.padded, v_columns);
  pack_pairs(head.k, x.depth, k_pairs);
  pack_pairs(head.q, x.depth, q_pairs);
  pack_pairs(dout, x.depth, d_pairs);

  uint16_t* const dq = x.dqkv + (head.q.data - x.qkv);
  const int64_t stride = head.q.stride;
  for (int64_t first = 0; first < x.length; first += kBlock) {
    const int64_t rows = smaller(kBlock, x.length - first);
    const int64_t keys = head.seen(first + rows - 1), columns = divide_up(keys, 16) * 16;
    multiply({head.q.data + first * stride, stride, 2}, {k_columns, head.padded * 2}, head.depth_pairs, s, head.padded,
             rows, columns);
    multiply({dout.data + first * dout.stride, dout.stride, 2}, {v_columns, head.padded * 2}, head.depth_pairs, dp,
             head.padded, rows, columns);
    for (int64_t r = 0; r < rows; r += 2) {
      const int64_t at = r * head.padded, to = (first + r) * head.padded;
      const auto row = [&](int64_t i) {
        return ScoreRow(s + i * head.padded, dp + i * head.padded, head.seen(first + i), columns, x.scale);
      };
      // The last row of an odd number has zeros for its partner.
      const bool alone = r + 1 == rows;
      const ScoreRow even = row(r), odd = alone ? ScoreRow() : row(r + 1);
      for (int64_t i = 0; i < columns; i += 16) {
        __m512 p1, d1, p2 = _mm512_setzero_ps(), d2 = p2;
        even.finish(i, p1, d1);
        store16(ds + at + i, d1);
        if (!alone) {
          odd.finish(i, p2, d2);
          store16(ds + at + head.padded + i, d2);
        }
        _mm512_store_si512(p_pairs + to + i * 2, pair_up(p1, p2));
        _mm512_store_si512(ds_pairs + to + i * 2, pair_up(d1, d2));
      }
    }
    multiply({ds, head.padded, 2}, {k_pairs, x.depth * 2}, divide_up(keys, 2), values, x.depth, rows, x.depth);
    write_rows(values, nullptr, rows, x.depth, dq + first * stride, stride);
  }
  for (int64_t first = 0; first < x.length; first += kBlock) {
    const int64_t rows = smaller(kBlock, x.length - first);
    // Keys are seen by no causal query before them.
    const int64_t start = x.causal ? first / 2 : 0, steps = head.pairs - start, skip = start * 2 * x.depth;
    const auto gradient = [&](const uint16_t* left, const uint16_t* right, uint16_t* out) {
      multiply({left + start * 2 * head.padded + first * 2, 2, head.padded * 2}, {right + skip, x.depth * 2}, steps,
               values, x.depth, rows, x.depth);
      write_rows(values, nullptr, rows, x.depth, out + first * stride, stride);
    };
    gradient(ds_pairs, q_pairs, dq + head.width);
    gradient(p_pairs, d_pairs, dq + 2 * head.width);
  }
}

}  // namespace

namespace avx512 {

void attention_forward(const Attention& attention, Runner run) { run_all<forward_head>(attention, run); }
void attention_backward(const Attention& attention, Runner run) { run_all<backward_head>(attention, run); }

}  // namespace avx512

}  // namespace bantam::gemm
