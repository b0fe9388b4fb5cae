#include "activate.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "activate_values.h"
#include "processor.h"

namespace bantam {
namespace {

using gemm::Activation;

/// Numbers that a thread takes at least.
constexpr int64_t kGrain = 1 << 14;

bool has_kernel(const at::Tensor& x, Activation activation) {
#ifdef BANTAM_AVX512
  return level() >= Level::avx512_bf16 && activation != Activation::none && x.device().is_cpu() && x.scalar_type() == at::kBFloat16 &&
         x.is_contiguous();
#else
  (void)x, (void)activation;
  return false;
#endif
}

#ifdef BANTAM_AVX512

uint16_t* bits(const at::Tensor& x) { return static_cast<uint16_t*>(x.data_ptr()); }

void run_kernel(const at::Tensor& x, const at::Tensor& y, Activation activation) {
  const uint16_t* from = bits(x);
  uint16_t* to = bits(y);
  at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    activate_values(activation, from + begin, to + begin, end - begin);
  });
}

#endif

}  // namespace

at::Tensor activate(const at::Tensor& x, Activation activation) {
  static auto quick_gelu = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("bantam::quick_gelu", "")
                               .typed<at::Tensor(const at::Tensor&)>();
  switch (activation) {
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::quick_gelu:
      return quick_gelu.call(x);
    case Activation::relu:
      return at::relu(x);
    default:
      return x;
  }
}

at::Tensor activated(const at::Tensor& x, Activation activation) {
#ifdef BANTAM_AVX512
  if (has_kernel(x, activation)) {
    auto y = at::empty_like(x);
    run_kernel(x, y, activation);
    return y;
  }
#endif
  return activate(x, activation);
}

at::Tensor activated_in_place(at::Tensor x, Activation activation) {
#ifdef BANTAM_AVX512
  if (has_kernel(x, activation)) {
    run_kernel(x, x, activation);
    return x;
  }
#endif
  return activate(x, activation);
}

at::Tensor activation_gradient(at::Tensor gradient, const at::Tensor& x, Activation activation) {
#ifdef BANTAM_AVX512
  if (has_kernel(x, activation) && has_kernel(gradient, activation)) {
    const uint16_t* at = bits(x);
    uint16_t* values = bits(gradient);
    at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      multiply_by_slope(activation, at + begin, values + begin, end - begin);
    });
    return gradient;
  }
#endif
  static auto quick_gelu_backward = c10::Dispatcher::singleton()
                                        .findSchemaOrThrow("bantam::quick_gelu_backward", "")
                                        .typed<at::Tensor(const at::Tensor&, const at::Tensor&)>();
  switch (activation) {
    case Activation::gelu:
      return at::gelu_backward(gradient, x);
    case Activation::gelu_tanh:
      return at::gelu_backward(gradient, x, "tanh");
    case Activation::quick_gelu:
      return quick_gelu_backward.call(gradient, x);
    case Activation::relu:
      return at::threshold_backward(gradient, x, 0);
    default:
      return gradient;
  }
}

}  // namespace bantam
