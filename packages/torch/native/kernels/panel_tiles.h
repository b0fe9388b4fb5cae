// Tiles of a product whose sums stay in registers, for files that are compiled for one level. Everything
// has internal linkage, so that no other file can get these instructions; only plain C headers here.
#pragma once

#include <cstdint>
#include <cstring>

#include "panels.h"

namespace bantam::panels {
namespace {

#define BANTAM_UNROLLED __attribute__((always_inline))

/// Rows of a tile. With four vectors of outputs the sums take 24 of AVX-512's 32 registers, with two 12 of
/// AVX2's 16. With one vector there are more rows, for each sum waits for the one before.
constexpr int kTileRows = kAvx512Shape.rows;

template <int Vectors>
constexpr int kRowsFor = Vectors == 1 ? 8 : kTileRows;

template <int I>
struct Index {
  static constexpr int value = I;
};

/// body(Index<0>) … body(Index<Count − 1>), written out.
template <int Count, int First = 0, typename Body>
BANTAM_UNROLLED inline void each(const Body& body) {
  if constexpr (First < Count) {
    body(Index<First>());
    each<Count, First + 1>(body);
  }
}

template <typename Vector>
BANTAM_UNROLLED inline void load(Vector& vector, const void* from) {
  std::memcpy(&vector, from, sizeof(Vector));
}

/// sums += x·Wᵀ over `depth` steps of a panel of `Vectors` vectors.
template <typename Kind, int Rows, int Vectors>
BANTAM_UNROLLED inline void accumulate(typename Kind::Sum (&sums)[Rows * Vectors],
                                       const typename Kind::Scalar* const (&x)[Rows],
                                       const typename Kind::Scalar* weight, int64_t depth) {
  constexpr int kLanes = sizeof(typename Kind::Sum) / sizeof(typename Kind::Scalar);
  const auto step = [&](int64_t k) BANTAM_UNROLLED {
    typename Kind::Weight w[Vectors];
    each<Vectors>([&](auto v) BANTAM_UNROLLED { load(w[v.value], weight + v.value * kLanes); });
    each<Rows>([&](auto r) BANTAM_UNROLLED {
      const typename Kind::Scalar value = x[r.value][k];
      each<Vectors>([&](auto v) BANTAM_UNROLLED { Kind::add(sums[r.value * Vectors + v.value], value, w[v.value]); });
    });
    weight += Vectors * kLanes;
  };
  if constexpr (Kind::kUnrolls) {
#pragma GCC unroll 4
    for (int64_t k = 0; k < depth; ++k) step(k);
  } else {
    for (int64_t k = 0; k < depth; ++k) step(k);
  }
}

/// tile(Index<rows>, row) for `left` rows, which are at most `Rows`.
template <int Rows, typename Tile>
BANTAM_UNROLLED inline void last_tile(int64_t left, int64_t row, const Tile& tile) {
  if constexpr (Rows > 0) {
    if (left == Rows) return tile(Index<Rows>(), row);
    last_tile<Rows - 1>(left, row, tile);
  }
}

/// tile(Index<rows>, row) for the rows of a part, as many at once as a tile has.
template <int Rows, typename Tile>
BANTAM_UNROLLED inline void for_tiles(const Part& part, const Tile& tile) {
  int64_t row = part.first_row;
  for (; row + Rows <= part.end_row; row += Rows) tile(Index<Rows>(), row);
  last_tile<Rows - 1>(part.end_row - row, row, tile);
}

/// panel(Index<vectors>, output) for the outputs of a part, in panels of `Most` vectors; the last has the rest.
template <int Most, typename Panel>
BANTAM_UNROLLED inline void for_panels(const Part& part, int64_t lanes, const Panel& panel) {
  int64_t output = part.first_output;
  for (; output + Most * lanes <= part.end_output; output += Most * lanes) panel(Index<Most>(), output);
  last_tile<Most - 1>((part.end_output - output) / lanes, output, panel);
}

template <typename V>
struct Float32 {
  using Number = float;
  using Scalar = float;
  using Sum = V;
  using Weight = V;
  static constexpr int kLanes = sizeof(V) / sizeof(float);
  static constexpr bool kUnrolls = true;

  BANTAM_UNROLLED static void add(V& sum, float x, const V& w) { sum += x * w; }
  BANTAM_UNROLLED static void read(V& values, const float* from) { load(values, from); }
  BANTAM_UNROLLED static void write(float* to, const V& values) { std::memcpy(to, &values, sizeof(V)); }
  BANTAM_UNROLLED static void rectify(V& values) { values = values < 0.0f ? V{} : values; }
};

/// Consecutive segments whose part of a panel stays in a core's second cache.
struct Block {
  int64_t first, end, depth;
  bool starts, ends;  // the first, the last of a row
};

template <typename Kind>
using ProductFor = ProductOf<typename Kind::Number>;

/// Sums of some rows and one panel over a block, started from bias and residual, or from y.
template <typename Kind, int Rows, int Vectors>
void compute_tile(const ProductFor<Kind>& p, const Block& block, const typename Kind::Number* const* sources,
                  const typename Kind::Number* weight, int64_t row, int64_t output) {
  using Number = typename Kind::Number;
  using Scalar = typename Kind::Scalar;
  using Sum = typename Kind::Sum;
  constexpr int kNumbers = sizeof(Scalar) / sizeof(Number);
  Sum sums[Rows * Vectors];
  Number* const y = p.y + row * p.stride + output;
  const int64_t stride = p.stride;
  if (block.starts) {
    each<Vectors>([&](auto v) BANTAM_UNROLLED {
      Sum start = {};
      if (p.bias != nullptr) load(start, p.bias + output + v.value * Kind::kLanes);
      each<Rows>([&](auto r) BANTAM_UNROLLED { sums[r.value * Vectors + v.value] = start; });
    });
    if (p.residual != nullptr) {
      const Number* const residual = p.residual + row * stride + output;
      each<Rows * Vectors>([&](auto i) BANTAM_UNROLLED {
        Sum added;
        Kind::read(added, residual + i.value / Vectors * stride + i.value % Vectors * Kind::kLanes);
        sums[i.value] += added;
      });
    }
  } else {
    each<Rows * Vectors>([&](auto i) BANTAM_UNROLLED {
      Kind::read(sums[i.value], y + i.value / Vectors * stride + i.value % Vectors * Kind::kLanes);
    });
  }
  for (int64_t segment = block.first; segment < block.end; ++segment) {
    const Scalar* x[Rows];
    each<Rows>([&](auto r) BANTAM_UNROLLED {
      x[r.value] = reinterpret_cast<const Scalar*>(sources[r.value * p.segments + segment]);
    });
    accumulate<Kind, Rows, Vectors>(sums, x, reinterpret_cast<const Scalar*>(weight), p.depths[segment] / kNumbers);
    weight += p.depths[segment] * Vectors * Kind::kLanes;
  }
  const bool relu = p.relu && block.ends;
  each<Rows * Vectors>([&](auto i) BANTAM_UNROLLED {
    // NaN is not below 0, and stays.
    if (relu) Kind::rectify(sums[i.value]);
    Kind::write(y + i.value / Vectors * stride + i.value % Vectors * Kind::kLanes, sums[i.value]);
  });
}

/// One panel and some rows: block by block, so that the panel's part is read from a cache by all tiles. Blocks
/// have at most so many numbers; sums in another type than y are one block.
template <typename Kind, int Vectors>
void compute_panel(const ProductFor<Kind>& p, const Part& part, int64_t output, int64_t block_numbers) {
  constexpr int64_t kWidth = Vectors * Kind::kLanes;
  const int64_t most = block_numbers / kWidth;
  const auto* weight = p.weight + output * p.depth;
  for (int64_t first = 0; first < p.segments;) {
    Block block{first, first + 1, p.depths[first], first == 0, false};
    while (block.end < p.segments && block.depth + p.depths[block.end] <= most) block.depth += p.depths[block.end++];
    block.ends = block.end == p.segments;
    for_tiles<kRowsFor<Vectors>>(part, [&](auto rows, int64_t row) BANTAM_UNROLLED {
      const auto* sources = p.sources + (row - part.first_row) * p.segments;
      compute_tile<Kind, rows.value, Vectors>(p, block, sources, weight, row, output);
    });
    weight += block.depth * kWidth;
    first = block.end;
  }
}

/// A part of a product, in panels of `Most` vectors.
template <typename Kind, int Most>
BANTAM_UNROLLED inline void multiply_panels(const ProductFor<Kind>& product, const Part& part, int64_t block_numbers) {
  for_panels<Most>(part, Kind::kLanes, [&](auto vectors, int64_t output) BANTAM_UNROLLED {
    compute_panel<Kind, vectors.value>(product, part, output, block_numbers);
  });
}

/// Sums of some rows and one panel in int8, whose inputs are a single block: 32 bits hold 66,000 products.
template <typename Kind, int Rows, int Vectors, typename Scaled>
void compute_int8_tile(const Int8Product& p, int64_t row, int64_t output, const Scaled& scaled) {
  constexpr int kLanes = sizeof(typename Kind::Sum) / sizeof(int32_t);
  typename Kind::Sum sums[Rows * Vectors] = {};
  const int32_t* x[Rows];
  each<Rows>([&](auto r) BANTAM_UNROLLED {
    x[r.value] = reinterpret_cast<const int32_t*>(p.x + (row + r.value) * p.depth);
  });
  const auto* weight = reinterpret_cast<const int32_t*>(p.weight + output * p.depth);
  accumulate<Kind, Rows, Vectors>(sums, x, weight, p.depth / 4);
  each<Rows * Vectors>([&](auto i) BANTAM_UNROLLED {
    const int64_t column = output + i.value % Vectors * kLanes;
    const auto values = scaled(p, sums[i.value], column);
    std::memcpy(p.y + (row + i.value / Vectors) * p.outputs + column, &values, sizeof(values));
  });
}

/// A part of a product in int8. scaled(product, sums, column) gives the values of a vector of outputs.
template <typename Kind, int Rows, typename Scaled>
BANTAM_UNROLLED inline void multiply_int8_panels(const Int8Product& product, const Part& part, const Scaled& scaled) {
  constexpr int kLanes = sizeof(typename Kind::Sum) / sizeof(int32_t);
  // As many vectors as in float32: those of the level's panels.
  constexpr int kMost = kLanes == kAvx512Shape.lanes ? kAvx512Shape.width / kAvx512Shape.lanes
                                                     : kAvx2Shape.width / kAvx2Shape.lanes;
  for_panels<kMost>(part, kLanes, [&](auto vectors, int64_t output) BANTAM_UNROLLED {
    for_tiles<Rows>(part, [&](auto rows, int64_t row) BANTAM_UNROLLED {
      compute_int8_tile<Kind, rows.value, vectors.value>(product, row, output, scaled);
    });
  });
}

}  // namespace
}  // namespace bantam::panels
