// Shared code of the AMX kernels. Only plain C headers here and in files that include it: they are
// compiled for CPUs that have AMX and AVX-512, and nothing in them may be linked in for others.
#pragma once

#include "activation_avx512.h"
#include "packing_avx512.h"

// Files that include this are compiled once for AMX and once more with these emulated.
#ifdef BANTAM_EMULATED_TILES
#include "emulated_tiles.h"
#define BANTAM_TILES emulated_amx
#else
#define BANTAM_TILES amx
#endif

namespace bantam::gemm {
namespace {

constexpr int64_t kPanel = 32;        // rows of A or columns of B in a panel: two tiles side by side
constexpr int64_t kTile = 512;        // numbers in a tile: 16 rows of 32 bfloat16
constexpr int64_t kStep = 2 * kTile;  // numbers of a panel for 32 positions along k

/// How the tiles are cut: palette 1, then for each of eight tiles its bytes a row and its rows.
alignas(64) constexpr uint8_t kTileConfig[64] = {1,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0,
                                                 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0,
                                                 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0, 0,  0,
                                                 16, 16, 16, 16, 16, 16, 16, 16};

/// Eight tiles of 16 rows and 64 bytes, for as long as this lives.
struct Tiles {
  Tiles() { _tile_loadconfig(kTileConfig); }
  ~Tiles() { _tile_release(); }
};

struct Nothing {
  void operator()(int64_t) const {}
};

/// c [32, 32] (+)= a·b for two panels over `steps` · 32 positions along k. meanwhile(step) is other work
/// for the vector units while the AMX unit is busy with a step.
template <typename Meanwhile = Nothing>
inline void multiply_panels(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t c_stride,
                            bool accumulate, Meanwhile&& meanwhile = {}) {
  // The compiler does not know that loading a tile reads memory.
  asm volatile("" ::: "memory");
  const int64_t bytes = c_stride * 4;
  float* lower = c + 16 * c_stride;
  if (accumulate) {
    _tile_loadd(0, c, bytes);
    _tile_loadd(1, c + 16, bytes);
    _tile_loadd(2, lower, bytes);
    _tile_loadd(3, lower + 16, bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step, a += kStep, b += kStep) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTile, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + kTile, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    meanwhile(step);
  }
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + 16, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + 16, bytes);
}

}  // namespace
}  // namespace bantam::gemm
