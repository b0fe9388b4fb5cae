// bantam::depthwise_conv2d: each channel convolved with a kernel of its own, at stride 1 and with as
// many zeros around that the map keeps its size. The convolution itself is libtorch's. Its gradients
// are not: that of the weight takes libtorch many times as long as the convolution, as does that of
// the input in bfloat16, which is a convolution too, with the kernel turned by 180 degrees.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>

#include "simd.h"

namespace bantam::depthwise_conv {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

/// Channels that are computed together.
constexpr int64_t kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

BANTAM_INLINE const Lanes& lanes(const float* values) { return *reinterpret_cast<const Lanes*>(values); }
BANTAM_INLINE Lanes& lanes(float* values) { return *reinterpret_cast<Lanes*>(values); }

BANTAM_INLINE float value_of(float value) { return value; }
BANTAM_INLINE float value_of(uint16_t bits) { return from_bfloat16(bits); }

struct Sizes {
  int64_t height, width, channels, kernel;

  int64_t padding() const { return kernel / 2; }
  int64_t padded_row() const { return (width + 2 * padding()) * kLanes; }
  /// Sums of a block of channels: one for each of the kernel's weights, and the bias.
  int64_t sums() const { return kernel * kernel + 1; }
  /// Rows of the map under the kernel, and a row of gradients.
  int64_t scratch() const { return kernel * padded_row() + width * kLanes; }
};

/// A row of up to kLanes channels of a map whose channels are innermost, as float32.
template <typename Scalar>
BANTAM_INLINE void load_row(const Scalar* row, const Sizes& sizes, int64_t count, float* target) {
  for (int64_t x = 0; x < sizes.width; ++x, row += sizes.channels, target += kLanes) {
    if (count == kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) target[lane] = value_of(row[lane]);
    } else {
      for (int64_t lane = 0; lane < count; ++lane) target[lane] = value_of(row[lane]);
    }
  }
}

/// sums[j] += Σₓ gradient[x]·map[x + j] for a row of the map and one of gradients.
template <int Kernel>
BANTAM_INLINE void correlate(const float* map, const float* gradient, int64_t width, float* sums) {
  Lanes local[Kernel];
  for (int j = 0; j < Kernel; ++j) local[j] = lanes(sums + j * kLanes);
  for (int64_t x = 0; x < width; ++x) {
    const Lanes factor = lanes(gradient + x * kLanes);
#pragma GCC unroll 7
    for (int j = 0; j < Kernel; ++j) local[j] += factor * lanes(map + (x + j) * kLanes);
  }
  for (int j = 0; j < Kernel; ++j) lanes(sums + j * kLanes) = local[j];
}

/// Adds one image's part to `sums` for a block of channels; `scratch` is zero if nothing is loaded.
template <int Kernel, typename Scalar>
BANTAM_INLINE void add_image(const Scalar* map, const Scalar* gradient, const Sizes& sizes, int64_t count,
                               float* scratch, float* sums) {
  const int64_t padding = sizes.padding();
  const int64_t step = sizes.width * sizes.channels;
  float* const gradients = scratch + Kernel * sizes.padded_row();
  // The rows under the kernel, row y at place y mod Kernel.
  const auto row_at = [&](int64_t y) { return scratch + (y % Kernel) * sizes.padded_row(); };
  int64_t loaded = 0;
  for (int64_t y = 0; y < sizes.height; ++y) {
    for (; loaded < std::min(sizes.height, y + padding + 1); ++loaded) {
      load_row(map + loaded * step, sizes, count, row_at(loaded) + padding * kLanes);
    }
    load_row(gradient + y * step, sizes, count, gradients);
    for (int64_t i = std::max<int64_t>(0, padding - y); i < std::min<int64_t>(Kernel, sizes.height + padding - y); ++i) {
      correlate<Kernel>(row_at(y + i - padding), gradients, sizes.width, sums + i * Kernel * kLanes);
    }
    Lanes& bias = lanes(sums + Kernel * Kernel * kLanes);
    for (int64_t x = 0; x < sizes.width; ++x) bias += lanes(gradients + x * kLanes);
  }
}

template <typename Scalar>
BANTAM_INLINE void add_any(const Scalar* map, const Scalar* gradient, const Sizes& sizes, int64_t count,
                           float* scratch, float* sums) {
  if (sizes.kernel == 3) add_image<3>(map, gradient, sizes, count, scratch, sums);
  if (sizes.kernel == 5) add_image<5>(map, gradient, sizes, count, scratch, sums);
  if (sizes.kernel == 7) add_image<7>(map, gradient, sizes, count, scratch, sums);
}

void add_float(const float* map, const float* gradient, const Sizes& sizes, int64_t count, float* scratch,
               float* sums) {
  vectorized([=]() BANTAM_INLINED { add_any(map, gradient, sizes, count, scratch, sums); });
}

void add_bfloat16(const uint16_t* map, const uint16_t* gradient, const Sizes& sizes, int64_t count, float* scratch,
                  float* sums) {
  vectorized([=]() BANTAM_INLINED { add_any(map, gradient, sizes, count, scratch, sums); });
}

/// Gradients of weight [C, 1, k, k] and bias [C] in float32, from map and gradient [B, C, H, W].
std::pair<at::Tensor, at::Tensor> weight_gradients(const at::Tensor& map, const at::Tensor& gradient, int64_t kernel) {
  const auto x = map.contiguous(at::MemoryFormat::ChannelsLast);
  const auto dy = gradient.contiguous(at::MemoryFormat::ChannelsLast);
  const Sizes sizes{x.size(2), x.size(3), x.size(1), kernel};
  const int64_t batch = x.size(0);
  const int64_t image = sizes.height * sizes.width * sizes.channels;
  const int64_t blocks = (sizes.channels + kLanes - 1) / kLanes;
  // With few channels, parts of the batch have sums of their own, for all threads to have work.
  const int64_t parts = std::clamp<int64_t>(4 * at::get_num_threads() / blocks, 1, std::max<int64_t>(1, batch));
  auto partial = at::zeros({parts, sizes.sums(), blocks * kLanes}, x.options().dtype(at::kFloat));
  float* const totals = partial.mutable_data_ptr<float>();
  at::parallel_for(0, blocks * parts, 1, [&](int64_t begin, int64_t end) {
    const auto scratch = std::make_unique<float[]>(sizes.scratch() + sizes.sums() * kLanes);
    float* const sums = scratch.get() + sizes.scratch();
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task % blocks;
      const int64_t part = task / blocks;
      const int64_t first = block * kLanes;
      const int64_t count = std::min(kLanes, sizes.channels - first);
      std::fill_n(scratch.get(), sizes.scratch(), 0.0f);
      for (int64_t sample = batch * part / parts; sample < batch * (part + 1) / parts; ++sample) {
        // Each image's own sums first, which keeps rounding small.
        std::fill_n(sums, sizes.sums() * kLanes, 0.0f);
        const int64_t offset = sample * image + first;
        if (x.scalar_type() == at::kFloat) {
          add_float(x.const_data_ptr<float>() + offset, dy.const_data_ptr<float>() + offset, sizes, count,
                    scratch.get(), sums);
        } else {
          add_bfloat16(static_cast<const uint16_t*>(x.const_data_ptr()) + offset,
                       static_cast<const uint16_t*>(dy.const_data_ptr()) + offset, sizes, count, scratch.get(), sums);
        }
        for (int64_t i = 0; i < sizes.sums(); ++i) {
          float* const total = totals + (part * sizes.sums() + i) * blocks * kLanes + first;
          for (int64_t lane = 0; lane < kLanes; ++lane) total[lane] += sums[i * kLanes + lane];
        }
      }
    }
  });
  const auto total = partial.sum(0).narrow(1, 0, sizes.channels);
  return {total.narrow(0, 0, kernel * kernel).t().reshape({sizes.channels, 1, kernel, kernel}),
          total.select(0, kernel * kernel)};
}

/// The convolution by libtorch, which has gradients of its own: all there is on other devices than the CPU.
at::Tensor plain(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias) {
  return at::conv2d(x, weight, bias, 1, {weight.size(2) / 2, weight.size(3) / 2}, 1, x.size(1));
}

bool is_fast(const at::Tensor& x, const at::Tensor& weight) {
  const auto type = x.scalar_type();
  const int64_t kernel = weight.size(2);
  return (type == at::kFloat || type == at::kBFloat16) && weight.scalar_type() == type && kernel == weight.size(3) &&
         (kernel == 3 || kernel == 5 || kernel == 7);
}

struct DepthwiseConv : torch::autograd::Function<DepthwiseConv> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& bias) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    return plain(x, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &gradient = gradients[0];
    const bool has_bias = context->saved_data["bias"].toBool();
    const int64_t kernel = weight.size(2);
    const int64_t padding = kernel / 2;
    if (at::GradMode::is_enabled()) {
      auto [dx, dweight, dbias] =
          at::convolution_backward(gradient, x, weight, at::IntArrayRef{x.size(1)}, {1, 1}, {padding, padding}, {1, 1},
                                   false, {0, 0}, x.size(1), {true, true, has_bias});
      return {dx, dweight, dbias};
    }
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) dx = plain(gradient, weight.flip({2, 3}), std::nullopt);
    if (context->needs_input_grad(1) || (has_bias && context->needs_input_grad(2))) {
      std::tie(dweight, dbias) = weight_gradients(x, gradient, kernel);
      dweight = dweight.to(weight.scalar_type());
      dbias = has_bias ? dbias.to(weight.scalar_type()) : at::Tensor();
    }
    return {dx, dweight, dbias};
  }
};

at::Tensor with_gradient(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias) {
  return is_fast(x, weight) ? DepthwiseConv::apply(x, weight, bias) : plain(x, weight, bias);
}

at::Tensor under_autocast(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias) {
  c10::impl::ExcludeDispatchKeyGuard once(c10::DispatchKey::AutocastCPU);
  const auto type = at::autocast::get_autocast_dtype(at::kCPU);
  const auto cast = [&](const at::Tensor& tensor) { return at::autocast::cached_cast(type, tensor, at::kCPU); };
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("bantam::depthwise_conv2d", "")
                       .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&)>();
  return op.call(cast(x), cast(weight), bias ? OptionalTensor(cast(*bias)) : std::nullopt);
}

}  // namespace
}  // namespace bantam::depthwise_conv

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("depthwise_conv2d(Tensor x, Tensor weight, Tensor? bias) -> Tensor", bantam::depthwise_conv::plain);
}

TORCH_LIBRARY_IMPL(bantam, AutogradCPU, library) {
  library.impl("depthwise_conv2d", bantam::depthwise_conv::with_gradient);
}

TORCH_LIBRARY_IMPL(bantam, AutocastCPU, library) {
  library.impl("depthwise_conv2d", bantam::depthwise_conv::under_autocast);
}
