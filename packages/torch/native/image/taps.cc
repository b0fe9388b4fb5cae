#include "taps.h"

#include <algorithm>
#include <cmath>

namespace bantam::image {
namespace {

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

/// Cubic convolution with a = -1/2 (Keys, 1981).
double keys_cubic(double distance) {
  constexpr double a = -0.5;
  const double x = std::abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

}  // namespace

Taps taps_for(int from, int to, Filter filter, bool antialias) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = antialias ? std::max(1.0, scale) : 1.0;
  const double reach = (filter == Filter::bicubic ? 2 : 1) * stretch;
  Taps taps;
  taps.most = (static_cast<int>(std::ceil(reach)) * 2 + 1 + 3) / 4 * 4;
  taps.first.resize(to);
  taps.count.resize(to);
  taps.weights.assign(static_cast<size_t>(to) * taps.most, 0);
  std::vector<double> real(taps.most);
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(centre - reach + 0.5));
    const int high = std::min(from, static_cast<int>(centre + reach + 0.5));
    double total = 0;
    for (int j = low; j < high; ++j) {
      const double x = (j - centre + 0.5) * (1 / stretch);
      real[j - low] = filter == Filter::bicubic ? keys_cubic(x) : bilinear(x);
      total += real[j - low];
    }
    int32_t* weights = taps.weights.data() + static_cast<size_t>(i) * taps.most;
    for (int j = 0; j < high - low; ++j) {
      const double weight = total == 0 ? 0 : real[j] * (1 / total);
      weights[j] = static_cast<int32_t>(weight * (1 << kFractionBits) + (weight < 0 ? -0.5 : 0.5));
    }
    taps.first[i] = low;
    taps.count[i] = high - low;
  }
  return taps;
}

}  // namespace bantam::image
