// Products of packed panels in float32 with AVX2 and FMA.
#include "panel_tiles.h"

namespace bantam::panels {
namespace {

typedef float Floats __attribute__((vector_size(32)));

/// 128 KB: half of the second cache of small cores.
constexpr int64_t kBlockFloats = 1 << 15;

}  // namespace

void multiply_avx2(const Product& product, const Part& part) {
  multiply_panels<Float32<Floats>, 2>(product, part, kBlockFloats);
}

}  // namespace bantam::panels
