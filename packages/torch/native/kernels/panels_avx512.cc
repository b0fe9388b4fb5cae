// Products of packed panels in float32 with AVX-512.
#include "panel_tiles.h"

namespace bantam::panels {
namespace {

typedef float Floats __attribute__((vector_size(64)));

/// 256 KB: a quarter to a half of the second cache of cores with AVX-512.
constexpr int64_t kBlockFloats = 1 << 16;

}  // namespace

void multiply_avx512(const Product& product, const Part& part) {
  multiply_panels<Float32<Floats>, 4>(product, part, kBlockFloats);
}

}  // namespace bantam::panels
