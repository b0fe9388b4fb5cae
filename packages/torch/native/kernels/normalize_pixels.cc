// bantam::normalize_pixels: 8-bit pixels as numbers around zero in one pass over memory, where
// composed operators take three and as many tensors in float32.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>
#include <array>

#include "simd.h"
#include "team.h"

namespace bantam::normalize_pixels {
namespace {

constexpr int64_t kChannels = 3;
/// Pixels that are worth a call.
constexpr int64_t kBlock = 1 << 10;

/// Pixels that are taken at a time, so that vectors of every width hold whole ones.
constexpr int64_t kGroup = 16;
using Levels = std::array<float, kGroup * kChannels>;

Levels repeated(const at::Tensor& values) {
  const auto tensor = values.to(at::kFloat).contiguous();
  Levels levels;
  for (size_t i = 0; i < levels.size(); ++i) levels[i] = tensor.const_data_ptr<float>()[i % kChannels];
  return levels;
}

BANTAM_INLINE void normalize_loop(const uint8_t* x, const float* m, const float* s, float* y, int64_t pixels) {
  int64_t i = 0;
  for (; i + kGroup <= pixels; i += kGroup, x += kGroup * kChannels, y += kGroup * kChannels) {
    for (int64_t j = 0; j < kGroup * kChannels; ++j) y[j] = (static_cast<float>(x[j]) - m[j]) / s[j];
  }
  for (int64_t j = 0; j < (pixels - i) * kChannels; ++j) y[j] = (static_cast<float>(x[j]) - m[j]) / s[j];
}

void normalize(const uint8_t* x, const Levels& mean, const Levels& std, float* y, int64_t pixels) {
  const float* const m = mean.data();
  const float* const s = std.data();
  vectorized([=]() BANTAM_INLINED { normalize_loop(x, m, s, y, pixels); });
}

at::Tensor normalize_plain(const at::Tensor& pixels, const at::Tensor& mean, const at::Tensor& std) {
  return ((pixels.to(at::kFloat) - mean) / std).permute({0, 3, 1, 2});
}

at::Tensor normalize_cpu(const at::Tensor& pixels, const at::Tensor& mean, const at::Tensor& std) {
  const bool fast = pixels.scalar_type() == at::kByte && pixels.dim() == 4 && pixels.size(3) == kChannels &&
                    mean.numel() == kChannels && std.numel() == kChannels;
  if (!fast) return normalize_plain(pixels, mean, std);
  const auto x = pixels.contiguous();
  const Levels means = repeated(mean), stds = repeated(std);
  auto y = at::empty(x.sizes(), x.options().dtype(at::kFloat));
  const auto* from = x.const_data_ptr<uint8_t>();
  auto* to = y.mutable_data_ptr<float>();
  const int64_t count = x.numel() / kChannels, blocks = (count + kBlock - 1) / kBlock;
  for_rows(blocks, kBlock * kChannels / 8, [&](int64_t first, int64_t some) {
    const int64_t begin = first * kBlock, end = std::min(count, (first + some) * kBlock);
    normalize(from + begin * kChannels, means, stds, to + begin * kChannels, end - begin);
  });
  return y.permute({0, 3, 1, 2});
}

}  // namespace
}  // namespace bantam::normalize_pixels

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("normalize_pixels(Tensor pixels, Tensor mean, Tensor std) -> Tensor");
}

TORCH_LIBRARY_IMPL(bantam, CPU, library) { library.impl("normalize_pixels", bantam::normalize_pixels::normalize_cpu); }

// Every other device takes the composed operators.
TORCH_LIBRARY_IMPL(bantam, CompositeExplicitAutograd, library) {
  library.impl("normalize_pixels", bantam::normalize_pixels::normalize_plain);
}
