// bantam::quick_gelu: x·σ(1.702·x) in one pass over memory, where composed operators take three
// forward and five backward.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "simd.h"

namespace bantam::quick_gelu {
namespace {

constexpr float kAlpha = 1.702f;
constexpr int64_t kGrain = 1 << 14;

BANTAM_INLINE float gate_of(float scaled) { return 1.0f / (1.0f + simd_exp(-scaled)); }

BANTAM_INLINE float value_at(float x) { return x * gate_of(kAlpha * x); }

/// d/dx x·σ(αx) = σ(αx)·(1 + αx·(1 − σ(αx)))
BANTAM_INLINE float slope_at(float x) {
  const float scaled = kAlpha * x;
  const float gate = gate_of(scaled);
  return gate * (1.0f + scaled * (1.0f - gate));
}

void forward_float(const float* x, float* y, int64_t count) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t i = 0; i < count; ++i) y[i] = value_at(x[i]);
  });
}

void forward_bfloat16(const uint16_t* x, uint16_t* y, int64_t count) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t i = 0; i < count; ++i) y[i] = to_bfloat16(value_at(from_bfloat16(x[i])));
  });
}

void backward_float(const float* dy, const float* x, float* dx, int64_t count) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t i = 0; i < count; ++i) dx[i] = dy[i] * slope_at(x[i]);
  });
}

void backward_bfloat16(const uint16_t* dy, const uint16_t* x, uint16_t* dx, int64_t count) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t i = 0; i < count; ++i) dx[i] = to_bfloat16(from_bfloat16(dy[i]) * slope_at(from_bfloat16(x[i])));
  });
}

at::Tensor forward_plain(const at::Tensor& x) { return x * at::sigmoid(x * double{1.702}); }

at::Tensor backward_plain(const at::Tensor& gradient, const at::Tensor& x) {
  auto scaled = x * double{1.702};
  auto gate = at::sigmoid(scaled);
  return gradient * gate * (1 + scaled * (1 - gate));
}

bool is_fast(const at::Tensor& x) { return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16; }

const uint16_t* bits(const at::Tensor& x) { return static_cast<const uint16_t*>(x.const_data_ptr()); }

at::Tensor forward_cpu(const at::Tensor& input) {
  if (!is_fast(input)) return forward_plain(input);
  const auto x = input.contiguous();
  auto y = at::empty_like(x);
  auto* target = y.mutable_data_ptr();
  at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (x.scalar_type() == at::kFloat) {
      forward_float(x.const_data_ptr<float>() + begin, static_cast<float*>(target) + begin, end - begin);
    } else {
      forward_bfloat16(bits(x) + begin, static_cast<uint16_t*>(target) + begin, end - begin);
    }
  });
  return y;
}

at::Tensor backward_cpu(const at::Tensor& gradient, const at::Tensor& input) {
  TORCH_CHECK(gradient.sizes() == input.sizes(), "the gradient of quick GELU has the shape ", gradient.sizes(),
              " where its input has ", input.sizes());
  if (!is_fast(input)) return backward_plain(gradient, input);
  const auto x = input.contiguous();
  const auto dy = gradient.to(x.scalar_type()).contiguous();
  auto dx = at::empty_like(x);
  auto* target = dx.mutable_data_ptr();
  at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (x.scalar_type() == at::kFloat) {
      backward_float(dy.const_data_ptr<float>() + begin, x.const_data_ptr<float>() + begin,
                     static_cast<float*>(target) + begin, end - begin);
    } else {
      backward_bfloat16(bits(dy) + begin, bits(x) + begin, static_cast<uint16_t*>(target) + begin, end - begin);
    }
  });
  return dx;
}

at::Tensor dispatch_forward(const at::Tensor& x) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("bantam::quick_gelu", "")
                       .typed<at::Tensor(const at::Tensor&)>();
  return op.call(x);
}

at::Tensor dispatch_backward(const at::Tensor& gradient, const at::Tensor& x) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("bantam::quick_gelu_backward", "")
                       .typed<at::Tensor(const at::Tensor&, const at::Tensor&)>();
  return op.call(gradient, x);
}

struct QuickGelu : torch::autograd::Function<QuickGelu> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x});
    return dispatch_forward(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {dispatch_backward(gradients[0], context->get_saved_variables()[0])};
  }
};

at::Tensor forward_autograd(const at::Tensor& x) { return QuickGelu::apply(x); }

}  // namespace
}  // namespace bantam::quick_gelu

TORCH_LIBRARY(bantam, library) {
  library.def("quick_gelu(Tensor x) -> Tensor");
  library.def("quick_gelu_backward(Tensor gradient, Tensor x) -> Tensor");
}

TORCH_LIBRARY_IMPL(bantam, CPU, library) {
  library.impl("quick_gelu", bantam::quick_gelu::forward_cpu);
  library.impl("quick_gelu_backward", bantam::quick_gelu::backward_cpu);
}

// Every other device takes the composed operators.
TORCH_LIBRARY_IMPL(bantam, CompositeExplicitAutograd, library) {
  library.impl("quick_gelu", bantam::quick_gelu::forward_plain);
  library.impl("quick_gelu_backward", bantam::quick_gelu::backward_plain);
}

TORCH_LIBRARY_IMPL(bantam, Autograd, library) { library.impl("quick_gelu", bantam::quick_gelu::forward_autograd); }
