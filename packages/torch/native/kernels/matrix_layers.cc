#include "matrix_layers.h"

#include <ATen/autocast_mode.h>

#include "activate.h"
#include "linear_functions.h"
#include "matrix.h"
#include "shape.h"

namespace bantam::matrix {
namespace {

using gemm::Activation;
using torch::autograd::variable_list;

/// Runs `body` as if autocast were on in bfloat16, as it was in the forward pass.
template <typename Body>
auto under_autocast(Body&& body) {
  struct Restore {
    const bool enabled = at::autocast::is_autocast_enabled(at::kCPU);
    const at::ScalarType dtype = at::autocast::get_autocast_dtype(at::kCPU);
    ~Restore() {
      at::autocast::set_autocast_enabled(at::kCPU, enabled);
      at::autocast::set_autocast_dtype(at::kCPU, dtype);
    }
  } restore;
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  return body();
}

/// float32 where it is added to a float32 residual, else bfloat16.
at::Tensor result_of(const at::Tensor& x, int64_t width, const OptionalTensor& residual) {
  const bool is_float32 = residual && residual->scalar_type() == at::kFloat;
  return at::empty(with_width(x, width), x.options().dtype(is_float32 ? at::kFloat : at::kBFloat16));
}

struct Linear : LinearFunction<Linear> {
  static at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias,
                            const OptionalTensor& residual) {
    auto y = result_of(x, weight.size(0), residual);
    matrix::forward(x, weight, bias, residual, y);
    return y;
  }

  static at::Tensor plain(const LinearSaved& s) {
    return under_autocast([&] { return at::linear(s.x, s.weight, optional(s.bias)); });
  }

  static variable_list gradients(const LinearSaved& s, const at::Tensor& gradient) {
    const auto dy = gradient.contiguous();
    at::Tensor dx, dweight, dbias;
    if (s.x.requires_grad()) dx = backward_input(dy, s.weight, s.x.options());
    if (needs_gradient(s.weight) || needs_gradient(s.bias)) {
      std::tie(dweight, dbias) = backward_weight(dy, s.x, s.weight, s.bias, Activation::none);
    }
    return {dx, dweight, dbias};
  }
};

struct Mlp : MlpFunction<Mlp> {
  static std::pair<at::Tensor, at::Tensor> products(const at::Tensor& x, const at::Tensor& weight1,
                                                    const OptionalTensor& bias1, const at::Tensor& weight2,
                                                    const OptionalTensor& bias2, const OptionalTensor& residual,
                                                    Activation activation) {
    const auto options = x.options().dtype(at::kBFloat16);
    const bool training = needs_gradient(x) || needs_gradient(weight1) || needs_gradient(weight2) ||
                          needs_gradient(value_or_undefined(bias1)) || needs_gradient(value_or_undefined(bias2));
    const auto hidden = with_width(x, weight1.size(0));
    at::Tensor pre;
    if (training) pre = at::empty(hidden, options);
    auto y = result_of(x, weight2.size(0), residual);
    auto activated = at::empty(hidden, options);
    matrix::forward(x, weight1, bias1, std::nullopt, activated, activation, pre);
    matrix::forward(activated, weight2, bias2, residual, y);
    return {pre, y};
  }

  static at::Tensor plain(const MlpSaved& s) {
    return under_autocast([&] {
      const auto pre = linear(s.x, s.weight1, optional(s.bias1), std::nullopt);
      return linear(activate(pre, s.activation), s.weight2, optional(s.bias2), std::nullopt);
    });
  }

  static variable_list gradients(const MlpSaved& s, const at::Tensor& gradient) {
    const auto dy = gradient.contiguous();
    at::Tensor dx, dweight1, dbias1, dweight2, dbias2;
    if (needs_gradient(s.weight2) || needs_gradient(s.bias2)) {
      std::tie(dweight2, dbias2) = backward_weight(dy, s.pre, s.weight2, s.bias2, s.activation);
    }
    const auto dpre = backward_input(dy, s.weight2, s.pre.options(), s.activation, s.pre);
    if (s.x.requires_grad()) dx = backward_input(dpre, s.weight1, s.x.options());
    if (needs_gradient(s.weight1) || needs_gradient(s.bias1)) {
      std::tie(dweight1, dbias1) = backward_weight(dpre, s.x, s.weight1, s.bias1, Activation::none);
    }
    return {dx, dweight1, dbias1, dweight2, dbias2};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias,
                  const OptionalTensor& residual) {
  return Linear::apply(x.contiguous(), weight, bias, residual);
}

at::Tensor mlp(const at::Tensor& x, const at::Tensor& weight1, const OptionalTensor& bias1, const at::Tensor& weight2,
               const OptionalTensor& bias2, const OptionalTensor& residual, int64_t activation) {
  return Mlp::apply(x.contiguous(), weight1, bias1, weight2, bias2, residual, activation);
}

}  // namespace bantam::matrix
