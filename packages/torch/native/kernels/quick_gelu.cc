// bantam::quick_gelu: x·σ(1.702·x) in one pass over memory, where composed operators take three
// forward and five backward.
#include <ATen/ATen.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>

namespace bantam {
namespace {

constexpr double kAlpha = 1.702;
constexpr int64_t kGrain = 1 << 14;

template <typename T>
T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

/// Runs body(begin, end) over all elements in parallel.
template <typename Body>
void each_range(int64_t count, const Body& body) {
  at::parallel_for(0, count, kGrain, body);
}

at::Tensor forward_cpu(const at::Tensor& input) {
  auto x = input.contiguous();
  auto y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "bantam::quick_gelu", [&] {
    using acc_t = at::opmath_type<scalar_t>;
    const auto* source = x.const_data_ptr<scalar_t>();
    auto* target = y.mutable_data_ptr<scalar_t>();
    each_range(x.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto value = static_cast<acc_t>(source[i]);
        target[i] = static_cast<scalar_t>(value * sigmoid<acc_t>(acc_t(kAlpha) * value));
      }
    });
  });
  return y;
}

/// d/dx x·σ(αx) = σ(αx)·(1 + αx·(1 − σ(αx)))
at::Tensor backward_cpu(const at::Tensor& gradient, const at::Tensor& input) {
  auto x = input.contiguous();
  auto dy = gradient.contiguous();
  auto dx = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "bantam::quick_gelu_backward", [&] {
    using acc_t = at::opmath_type<scalar_t>;
    const auto* source = x.const_data_ptr<scalar_t>();
    const auto* upstream = dy.const_data_ptr<scalar_t>();
    auto* target = dx.mutable_data_ptr<scalar_t>();
    each_range(x.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto scaled = acc_t(kAlpha) * static_cast<acc_t>(source[i]);
        const auto gate = sigmoid<acc_t>(scaled);
        const auto slope = gate * (acc_t(1) + scaled * (acc_t(1) - gate));
        target[i] = static_cast<scalar_t>(static_cast<acc_t>(upstream[i]) * slope);
      }
    });
  });
  return dx;
}

at::Tensor forward_plain(const at::Tensor& x) { return x * at::sigmoid(x * kAlpha); }

at::Tensor backward_plain(const at::Tensor& gradient, const at::Tensor& x) {
  auto scaled = x * kAlpha;
  auto gate = at::sigmoid(scaled);
  return gradient * gate * (1 + scaled * (1 - gate));
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
}  // namespace bantam

TORCH_LIBRARY(bantam, library) {
  library.def("quick_gelu(Tensor x) -> Tensor");
  library.def("quick_gelu_backward(Tensor gradient, Tensor x) -> Tensor");
}

TORCH_LIBRARY_IMPL(bantam, CPU, library) {
  library.impl("quick_gelu", bantam::forward_cpu);
  library.impl("quick_gelu_backward", bantam::backward_cpu);
}

// Every other device takes the composed operators.
TORCH_LIBRARY_IMPL(bantam, CUDA, library) {
  library.impl("quick_gelu", bantam::forward_plain);
  library.impl("quick_gelu_backward", bantam::backward_plain);
}

TORCH_LIBRARY_IMPL(bantam, Autograd, library) { library.impl("quick_gelu", bantam::forward_autograd); }
