// The products of gemm.h on AMX.
#include "gemm.h"

#include "amx.h"

namespace bantam::gemm {
namespace {

constexpr int64_t kChunk = 24;       // steps along k that are worked on at a time
constexpr int64_t kInner = 8;        // … of which a panel is to stay in the first-level cache
constexpr int64_t kCache = 5 << 18;  // bytes that a block may take of the second-level cache
constexpr int64_t kGroup = 4;        // panels of the shared factor whose sums are finished together
constexpr int64_t kStreamWide = 1 << 18;
constexpr int64_t kStream = 8 << 20;  // bytes of a result from which on it is written past the caches

thread_local Scratch scratch;

/// Up to 32 numbers of a row as bfloat16, zeros behind them.
inline __m512i load_row(const Factor& factor, int64_t row, int64_t column, int64_t count) {
  const Matrix& matrix = factor.matrix;
  const int64_t at = row * matrix.stride + column;
  const uint32_t mask = first_bits(count);
  if (matrix.wide) {
    const float* x = static_cast<const float*>(matrix.data) + at;
    __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), x);
    __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), x + 16);
    if (factor.activation != Activation::none) {
      low = activate16(factor.activation, low);
      high = activate16(factor.activation, high);
    }
    return narrow32(low, high);
  }
  const __m512i x = _mm512_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(matrix.data) + at);
  if (factor.activation == Activation::none) return x;
  return narrow32(activate16(factor.activation, widen16(_mm512_castsi512_si256(x))),
                  activate16(factor.activation, widen16(_mm512_extracti64x4_epi64(x, 1))));
}

/// The sums of the bfloat16 that stand side by side in 32 bits.
inline __m512 add_pairs(__m512i pairs) {
  const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
  return _mm512_add_ps(even, odd);
}

/// Where a panel of a factor is: `along` rows of A or columns of B by `k` positions.
struct Operand {
  Factor factor;
  int64_t along = 0, k = 0;
  bool is_a = false;
  int64_t panels() const { return divide_up(along, kPanel); }
  int64_t steps() const { return divide_up(k, 32); }
  /// Whether a row in memory runs along k.
  bool rows_along_k() const { return is_a != factor.transposed; }
};

/// Some panels of an operand and some steps along k, and where they are packed.
struct Part {
  int64_t panel, panels;
  int64_t step, steps;
  uint16_t* target;
  int64_t panel_stride;
};

/// Fetches the line with a row's element to the second-level cache.
inline void fetch(const Matrix& matrix, int64_t row, int64_t column) {
  const int64_t at = (row * matrix.stride + column) * (matrix.wide ? 4 : 2);
  const char* line = static_cast<const char*>(matrix.data) + at;
  _mm_prefetch(line, _MM_HINT_T1);
  if (matrix.wide) _mm_prefetch(line + 64, _MM_HINT_T1);
}

/// A's rows unchanged.
void pack_rows(const Operand& x, const Part& part) {
  constexpr int64_t kGroup = 4;  // lines of a row that are read at once
  for (int64_t panel = 0; panel < part.panels; ++panel) {
    const int64_t begin = (part.panel + panel) * kPanel;
    uint16_t* target = part.target + panel * part.panel_stride;
    for (int64_t first = 0; first < part.steps; first += kGroup) {
      const int64_t last = smaller(first + kGroup, part.steps);
      for (int64_t i = 0; i < kPanel; ++i) {
        const int64_t row = begin + i;
        for (int64_t step = first; step < last; ++step) {
          const int64_t place = (part.step + step) * 32;
          if (row < x.along && place + kGroup * 32 < x.k) fetch(x.factor.matrix, row, place + kGroup * 32);
          const __m512i values = row < x.along ? load_row(x.factor, row, place, x.k - place) : _mm512_setzero_si512();
          _mm512_store_si512(target + step * kStep + i * 32, values);
        }
      }
    }
  }
}

/// B's columns that are rows in memory.
void pack_columns(const Operand& x, const Part& part) {
  for (int64_t panel = 0; panel < part.panels; ++panel) {
    const int64_t begin = (part.panel + panel) * kPanel;
    uint16_t* target = part.target + panel * part.panel_stride;
    for (int64_t step = 0; step < part.steps; ++step, target += kStep) {
      const int64_t place = (part.step + step) * 32;
      for (int64_t half = 0; half < 2; ++half) {
        __m512i rows[16];
        for (int64_t i = 0; i < 16; ++i) {
          const int64_t row = begin + half * 16 + i;
          rows[i] = row < x.along ? load_row(x.factor, row, place, x.k - place) : _mm512_setzero_si512();
        }
        transpose16(rows);
        for (int64_t i = 0; i < 16; ++i) _mm512_store_si512(target + half * kTile + i * 32, rows[i]);
      }
    }
  }
}

/// Where rows in memory run along the panels: 32 whole rows at a time. `sums`, where given, gets the
/// sums over k of each row of A or column of B added.
template <bool turn>
void pack_across(const Operand& x, const Part& part, float* sums) {
  for (int64_t step = 0; step < part.steps; ++step) {
    const int64_t place = (part.step + step) * 32;
    const int64_t depth = smaller(32, x.k - place);
    for (int64_t panel = 0; panel < part.panels; ++panel) {
      const int64_t begin = (part.panel + panel) * kPanel;
      uint16_t* target = part.target + panel * part.panel_stride + step * kStep;
      __m512i low[16], high[16];
      __m512 low_sum = _mm512_setzero_ps(), high_sum = low_sum;
      if (place + 64 <= x.k) {
        for (int64_t i = 32; i < 64; ++i) fetch(x.factor.matrix, place + i, begin);
      }
      for (int64_t i = 0; i < 16; ++i) {
        const __m512i zero = _mm512_setzero_si512();
        const __m512i even = 2 * i < depth ? load_row(x.factor, place + 2 * i, begin, x.along - begin) : zero;
        const __m512i odd = 2 * i + 1 < depth ? load_row(x.factor, place + 2 * i + 1, begin, x.along - begin) : zero;
        low[i] = _mm512_permutex2var_epi16(even, low_order(), odd);
        high[i] = _mm512_permutex2var_epi16(even, high_order(), odd);
        if (sums != nullptr) {
          // In pairs, as they stand now: the halves of 32 bits are two numbers of one column.
          low_sum = _mm512_add_ps(low_sum, add_pairs(low[i]));
          high_sum = _mm512_add_ps(high_sum, add_pairs(high[i]));
        }
      }
      if (turn) {
        transpose16(low);
        transpose16(high);
      }
      for (int64_t i = 0; i < 16; ++i) {
        _mm512_store_si512(target + i * 32, low[i]);
        _mm512_store_si512(target + kTile + i * 32, high[i]);
      }
      if (sums != nullptr) {
        float* sum = sums + panel * kPanel;
        _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), low_sum));
        _mm512_storeu_ps(sum + 16, _mm512_add_ps(_mm512_loadu_ps(sum + 16), high_sum));
      }
    }
  }
}

void pack(const Operand& x, const Part& part, float* sums) {
  if (x.rows_along_k()) {
    if (x.is_a) pack_rows(x, part);
    else pack_columns(x, part);
  } else {
    if (x.is_a) pack_across<true>(x, part, sums);
    else pack_across<false>(x, part, sums);
  }
}

/// Up to 32 numbers of a row of a matrix.
inline void load_wide(const Matrix& matrix, int64_t row, int64_t column, uint32_t mask, __m512& low, __m512& high) {
  const int64_t at = row * matrix.stride + column;
  if (matrix.wide) {
    const float* x = static_cast<const float*>(matrix.data) + at;
    low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), x);
    high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), x + 16);
  } else {
    const __m512i x = _mm512_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(matrix.data) + at);
    low = widen16(_mm512_castsi512_si256(x));
    high = widen16(_mm512_extracti64x4_epi64(x, 1));
  }
}

/// Whether results go to memory directly: whole lines that no cache could hold until they are read.
inline bool streams(const Product& p) {
  return p.m * p.n * 2 >= (p.wide_c ? kStreamWide : kStream) && p.n % kPanel == 0;
}

inline void write_row(uint16_t* target, uint32_t mask, bool stream, __m512i row) {
  if (stream) _mm512_stream_si512(reinterpret_cast<__m512i*>(target), row);
  else _mm512_mask_storeu_epi16(target, mask, row);
}

/// What is done to 32 numbers of a row of a·b before they are written.
inline void finish(const Product& p, bool stream, int64_t row, int64_t column, const float* values) {
  const uint32_t mask = first_bits(p.n - column);
  const auto low_mask = static_cast<__mmask16>(mask), high_mask = static_cast<__mmask16>(mask >> 16);
  const int64_t at = row * p.n + column;
  __m512 low = _mm512_load_ps(values), high = _mm512_load_ps(values + 16);
  if (p.bias != nullptr) {
    low = _mm512_add_ps(low, _mm512_maskz_loadu_ps(low_mask, p.bias + column));
    high = _mm512_add_ps(high, _mm512_maskz_loadu_ps(high_mask, p.bias + column + 16));
  }
  if (p.residual.data != nullptr) {
    __m512 low_rest, high_rest;
    load_wide(p.residual, row, column, mask, low_rest, high_rest);
    low = _mm512_add_ps(low, low_rest);
    high = _mm512_add_ps(high, high_rest);
  }
  if (p.activation != Activation::none) {
    // The activation of the rounded number, which is the one that the backward pass sees.
    const __m512i pre = narrow32(low, high);
    if (p.pre != nullptr) write_row(p.pre + at, mask, stream, pre);
    low = activate16(p.activation, widen16(_mm512_castsi512_si256(pre)));
    high = activate16(p.activation, widen16(_mm512_extracti64x4_epi64(pre, 1)));
  }
  if (p.slope != Activation::none) {
    const __m512i x = _mm512_maskz_loadu_epi16(mask, p.slope_at + at);
    low = activation_gradient16(p.slope, widen16(_mm512_castsi512_si256(x)), low);
    high = activation_gradient16(p.slope, widen16(_mm512_extracti64x4_epi64(x, 1)), high);
  }
  if (!p.wide_c) {
    write_row(static_cast<uint16_t*>(p.c) + at, mask, stream, narrow32(low, high));
  } else if (stream) {
    _mm512_stream_ps(static_cast<float*>(p.c) + at, low);
    _mm512_stream_ps(static_cast<float*>(p.c) + at + 16, high);
  } else {
    _mm512_mask_storeu_ps(static_cast<float*>(p.c) + at, low_mask, low);
    _mm512_mask_storeu_ps(static_cast<float*>(p.c) + at + 16, high_mask, high);
  }
}

/// Sums that wait to be finished: rows of c over some columns. Each call finishes the fraction of them
/// that belongs to one step of the products that follow, whose AMX unit is busy meanwhile.
/// Several panels' columns are taken together, because memory is slow with short runs of many rows.
class Pending {
 public:
  /// `values` are blocks [32, 32]; from one panel of rows (or columns) to the next it is `row_stride`
  /// (or `column_stride`) numbers.
  Pending(const Product& p, int64_t row, int64_t rows, int64_t column, int64_t panels, const float* values,
          int64_t row_stride, int64_t column_stride)
      : p_(&p),
        stream_(streams(p)),
        row_(row),
        rows_(smaller(rows, p.m - row)),
        column_(column),
        panels_(panels),
        values_(values),
        row_stride_(row_stride),
        column_stride_(column_stride) {}
  Pending() = default;

  /// Spreads what is to be done over so many steps.
  void spread(int64_t steps) { each_ = steps == 0 ? 0 : divide_up(rows_ << 8, steps); }

  void operator()(int64_t) {
    credit_ += each_;
    for (; credit_ >= 256 && done_ < rows_; credit_ -= 256) finish_row();
  }

  void flush() {
    while (done_ < rows_) finish_row();
  }

 private:
  void finish_row() {
    const float* values = values_ + done_ / kPanel * row_stride_ + done_ % kPanel * kPanel;
    for (int64_t i = 0; i < panels_; ++i) {
      finish(*p_, stream_, row_ + done_, column_ + i * kPanel, values + i * column_stride_);
    }
    done_ += 1;
  }

  const Product* p_ = nullptr;
  bool stream_ = false;
  int64_t row_ = 0, rows_ = 0, column_ = 0, panels_ = 0;
  const float* values_ = nullptr;
  int64_t row_stride_ = 0, column_stride_ = 0;
  int64_t each_ = 0, credit_ = 0, done_ = 0;
};

Operand operand_a(const Product& p) { return {p.a, p.m, p.k, true}; }
Operand operand_b(const Product& p) { return {p.b, p.n, p.k, false}; }

/// How a product is divided: one factor, the owned one, is packed block by block by whoever works on
/// the block; the other, the shared one, is packed once before.
struct Division {
  bool own_a;
  int64_t chunk;         // steps that are worked on at a time
  int64_t inner;         // of them the steps of a panel that stay in the first-level cache
  int64_t block;         // panels of the owned factor in a task
  int64_t blocks;
  int64_t shared_block;  // panels of the shared factor in a task
  int64_t shared_blocks;
  bool whole;            // all steps at once: sums need not be kept for more than one shared panel
};

Division divide(const Product& p, int64_t threads) {
  Division d;
  // A weight's gradient (k is long, c is small) owns its larger factor. Otherwise A's rows are owned.
  d.own_a = p.k < 2 * p.m || p.m >= p.n;
  const int64_t steps = divide_up(p.k, 32);
  const int64_t owned = divide_up(d.own_a ? p.m : p.n, kPanel), shared = divide_up(d.own_a ? p.n : p.m, kPanel);
  d.whole = steps <= kChunk * 4 / 3;
  d.chunk = d.whole ? steps : divide_up(steps, divide_up(steps, kChunk));
  d.inner = d.chunk <= 12 ? d.chunk : divide_up(d.chunk, divide_up(d.chunk, kInner));
  const int64_t panel_bytes = d.chunk * kStep * 2 + (d.whole ? 2 * kGroup : shared) * kPanel * kPanel * 4;
  int64_t most = larger(4, kCache / panel_bytes);
  int64_t blocks = divide_up(owned, smaller(most, 16));
  if (blocks > 1 || owned >= 2 * threads) blocks = divide_up(blocks, threads) * threads;
  d.block = divide_up(owned, blocks);
  d.blocks = divide_up(owned, d.block);
  // Few owned panels: the shared ones are divided as well, so that every thread has work.
  d.shared_blocks = d.blocks >= threads ? 1 : smaller(shared, divide_up(threads, d.blocks));
  d.shared_block = divide_up(shared, d.shared_blocks);
  return d;
}

struct Packing {
  const Operand* operand;
  uint16_t* target;
  float* sums;  // a row of the operand's panels · 32 for each task
};

/// One task of packing a whole operand: a panel or, where rows in memory run across the panels, a step.
void pack_task(void* context, int64_t task) {
  const auto& [operand, target, sums] = *static_cast<const Packing*>(context);
  const int64_t panels = operand->panels(), steps = operand->steps(), stride = steps * kStep;
  if (operand->rows_along_k()) {
    pack(*operand, {task, 1, 0, steps, target + task * stride, stride}, nullptr);
  } else {
    float* own = sums == nullptr ? nullptr : sums + task * panels * kPanel;
    pack(*operand, {0, panels, task, 1, target + task * kStep, stride}, own);
  }
}

int64_t pack_tasks(const Operand& x) { return x.rows_along_k() ? x.panels() : x.steps(); }

struct Work {
  const Product* product;
  Division division;
  Operand owned, shared;
  const uint16_t* packed;
};

/// Multiplies and adds a panel of one factor with all owned ones, a few of its steps after the other.
struct Sweep {
  const Division* division;
  const uint16_t* own;
  int64_t count, chunk;

  void operator()(const uint16_t* other, const uint16_t* ahead, bool accumulate, float* values, Pending& pending) const {
    const Division& d = *division;
    for (int64_t inner = 0; inner < chunk; inner += d.inner) {
      const int64_t length = smaller(d.inner, chunk - inner);
      for (int64_t i = 0; i < count; ++i) {
        const uint16_t* mine = own + (i * chunk + inner) * kStep;
        const uint16_t* theirs = other + inner * kStep;
        // The lines of the panel that comes next, spread over the products of this one.
        const uint16_t* next = ahead + (inner * count + i * length) * kStep / count;
        multiply_panels(d.own_a ? mine : theirs, d.own_a ? theirs : mine, length, values + i * kPanel * kPanel, kPanel,
                        accumulate || inner > 0, [&](int64_t step) {
                          pending(step);
                          for (int64_t line = 0; line < kStep / count; line += 32) {
                            _mm_prefetch(next + step * kStep / count + line, _MM_HINT_T1);
                          }
                        });
      }
    }
  }
};

void multiply_block(void* context, int64_t task) {
  const auto& work = *static_cast<const Work*>(context);
  const Product& p = *work.product;
  const Division& d = work.division;
  const int64_t steps = work.owned.steps();
  const int64_t first = task / d.shared_blocks * d.block;
  const int64_t count = smaller(d.block, work.owned.panels() - first);
  const int64_t begin = (task % d.shared_blocks) * d.shared_block;
  const int64_t end = smaller(begin + d.shared_block, work.shared.panels());
  const int64_t sums = count * kPanel * kPanel;  // numbers for one shared panel
  const int64_t kept = d.whole ? 2 * kGroup : end - begin;
  uint16_t* const own = scratch.get(count * d.chunk * kStep + kept * sums * 2);
  float* const values = reinterpret_cast<float*>(own + count * d.chunk * kStep);

  const Tiles tiles;
  Pending pending;
  for (int64_t step = 0; step < steps; step += d.chunk) {
    const int64_t chunk = smaller(d.chunk, steps - step);
    const bool last = step + chunk == steps;
    float* row_sums = d.own_a && begin == 0 && p.row_sums != nullptr ? p.row_sums + first * kPanel : nullptr;
    pack(work.owned, {first, count, step, chunk, own, chunk * kStep}, row_sums);
    const Sweep sweep{&d, own, count, chunk};
    for (int64_t group = begin; group < end; group += kGroup) {
      const int64_t panels = smaller(kGroup, end - group);
      float* const group_values = values + (d.whole ? (group - begin) % (2 * kGroup) : group - begin) * sums;
      pending.spread(panels * count * chunk);
      for (int64_t j = group; j < group + panels; ++j) {
        const uint16_t* other = work.packed + (j * steps + step) * kStep;
        sweep(other, j + 1 < end ? other + steps * kStep : other, step > 0, group_values + (j - group) * sums, pending);
      }
      pending.flush();
      if (!last) continue;
      if (d.own_a) {
        pending = {p,     first * kPanel, count * kPanel, group * kPanel, panels, group_values, kPanel * kPanel,
                   sums};
      } else {
        pending = {p,    group * kPanel, panels * kPanel, first * kPanel, count, group_values, sums,
                   kPanel * kPanel};
      }
    }
  }
  pending.flush();
  _mm_sfence();
}

}  // namespace

namespace BANTAM_TILES {

Needs needs(const Product& p, int64_t threads) {
  const Division d = divide(p, threads);
  const Operand shared = d.own_a ? operand_b(p) : operand_a(p);
  return {.packed_bytes = shared.panels() * shared.steps() * kStep * 2,
          .row_sums = d.own_a ? 1 : pack_tasks(shared)};
}

void multiply(const Product& p, const Workspace& workspace) {
  const Division division = divide(p, workspace.threads);
  auto* packed = static_cast<uint16_t*>(workspace.packed);
  Work work{&p, division, operand_a(p), operand_b(p), packed};
  if (!division.own_a) {
    work.owned = operand_b(p);
    work.shared = operand_a(p);
  }
  Packing packing{&work.shared, packed, division.own_a ? nullptr : p.row_sums};
  workspace.run(pack_tasks(work.shared), pack_task, &packing);
  workspace.run(division.blocks * division.shared_blocks, multiply_block, &work);
}

}  // namespace BANTAM_TILES

}  // namespace bantam::gemm
