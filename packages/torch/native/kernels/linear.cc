// bantam::linear and bantam::mlp: x·Wᵀ + b and two of them with an activation between, each with the
// residual that it is added to. In bfloat16 on AMX they run on the products of gemm.h, which read
// float32 weights as they are and give float32 gradients, so that autocast copies no weights; in
// float32 on other processors than MKL's on those of onednn.h; elsewhere on libtorch's operators.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "activate.h"
#include "matrix.h"
#include "onednn.h"
#include "shape.h"

namespace bantam::linear {
namespace {

using gemm::Activation;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor linear_plain(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                        const std::optional<at::Tensor>& residual) {
  auto y = at::linear(x, weight, bias);
  return residual ? *residual + y : y;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  const std::optional<at::Tensor>& residual);

at::Tensor mlp_plain(const at::Tensor& x, const at::Tensor& weight1, const std::optional<at::Tensor>& bias1,
                     const at::Tensor& weight2, const std::optional<at::Tensor>& bias2,
                     const std::optional<at::Tensor>& residual, Activation activation) {
  return linear(activate(linear(x, weight1, bias1, std::nullopt), activation), weight2, bias2, residual);
}

/// Gradients of y = f(inputs) by libtorch's own operators, themselves differentiable.
template <typename Function>
variable_list plain_gradients(const at::Tensor& gradient, const variable_list& inputs, Function&& function) {
  variable_list wanted;
  for (const auto& input : inputs) {
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  }
  if (wanted.empty()) return variable_list(inputs.size());
  const auto y = function();
  auto found = torch::autograd::grad({y}, wanted, {gradient.to(y.scalar_type())}, true, true, true);
  variable_list gradients;
  auto next = found.begin();
  for (const auto& input : inputs) {
    gradients.push_back(input.defined() && input.requires_grad() ? *next++ : at::Tensor());
  }
  return gradients;
}

at::Tensor defined_or_none(const std::optional<at::Tensor>& x) { return x && x->defined() ? *x : at::Tensor(); }

std::optional<at::Tensor> optional(const at::Tensor& x) {
  return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt;
}

/// What a residual's gradient is, where the layer saved that it had one.
at::Tensor residual_gradient(AutogradContext* context, const at::Tensor& gradient) {
  return context->saved_data["residual"].toBool() ? gradient : at::Tensor();
}

at::Tensor rows_of(const at::Tensor& x) { return x.contiguous().view({-1, x.size(-1)}); }

/// Products of onednn.h. The weights' gradient is one of libtorch's: over so many rows both are even.
struct WideLinear : torch::autograd::Function<WideLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& residual) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({x, weight, defined_or_none(bias)});
    return onednn::linear(x, weight, bias, residual);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &gradient = gradients[0];
    if (at::GradMode::is_enabled()) {
      auto result = plain_gradients(gradient, {x, weight, bias},
                                    [&] { return at::linear(x, weight, optional(bias)); });
      result.push_back(residual_gradient(context, gradient));
      return result;
    }
    const auto dy = rows_of(gradient);
    at::Tensor dx, dweight, dbias;
    if (x.requires_grad()) dx = onednn::linear(dy, weight.t()).view(x.sizes());
    if (weight.requires_grad()) dweight = at::mm(dy.t(), rows_of(x));
    if (bias.defined() && bias.requires_grad()) dbias = dy.sum(0);
    return {dx, dweight, dbias, residual_gradient(context, gradient)};
  }
};

/// An MLP that keeps what its activation is given, and computes the activation again for the gradient
/// rather than keeping both, each four times as wide as the MLP. All tensors are of one type.
struct LeanMlp : torch::autograd::Function<LeanMlp> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight1,
                            const std::optional<at::Tensor>& bias1, const at::Tensor& weight2,
                            const std::optional<at::Tensor>& bias2, int64_t activation) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto pre = multiply(x, weight1, bias1);
    context->saved_data["activation"] = activation;
    context->save_for_backward({x, weight1, defined_or_none(bias1), weight2, defined_or_none(bias2), pre});
    return multiply(activated(pre, static_cast<Activation>(activation)), weight2, bias2);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight1 = saved[1], &bias1 = saved[2], &weight2 = saved[3], &bias2 = saved[4],
               &pre = saved[5], &gradient = gradients[0];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    if (at::GradMode::is_enabled()) {
      auto result = plain_gradients(gradient, {x, weight1, bias1, weight2, bias2}, [&] {
        return at::linear(activate(at::linear(x, weight1, optional(bias1)), activation), weight2, optional(bias2));
      });
      result.emplace_back();
      return result;
    }
    const auto dy = rows_of(gradient), inner = rows_of(pre);
    at::Tensor dx, dweight1, dbias1, dweight2, dbias2;
    if (weight2.requires_grad()) dweight2 = at::mm(dy.t(), activated(inner, activation));
    if (bias2.defined() && bias2.requires_grad()) dbias2 = dy.sum(0);
    const auto dpre = activation_gradient(multiply(dy, weight2.t(), std::nullopt), inner, activation);
    if (weight1.requires_grad()) dweight1 = at::mm(dpre.t(), rows_of(x));
    if (bias1.defined() && bias1.requires_grad()) dbias1 = dpre.sum(0);
    if (x.requires_grad()) dx = multiply(dpre, weight1.t(), std::nullopt).view(x.sizes());
    return {dx, dweight1, dbias1, dweight2, dbias2, at::Tensor()};
  }

  /// Whether it applies to what is to be computed in this type.
  static bool applies(const at::Tensor& x, at::ScalarType type, const at::Tensor& weight1, const at::Tensor& weight2) {
    return (x.device().is_cpu() || x.is_meta()) && x.dim() >= 2 && x.numel() > 0 && weight1.dim() == 2 &&
           weight2.dim() == 2 && (type == at::kFloat || type == at::kBFloat16);
  }

 private:
  static at::Tensor multiply(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    return onednn::applies(x, weight, bias, std::nullopt) ? onednn::linear(x, weight, bias)
                                                          : at::linear(x, weight, bias);
  }
};

/// On the CPU what autocast asks for, else the type of x.
at::ScalarType type_to_compute_in(const at::Tensor& x) {
  const bool asked = x.device().is_cpu() && at::autocast::is_autocast_enabled(at::kCPU);
  return asked ? at::autocast::get_autocast_dtype(at::kCPU) : x.scalar_type();
}

at::Tensor mlp_lean(const at::Tensor& x, at::ScalarType type, const at::Tensor& weight1,
                    const std::optional<at::Tensor>& bias1, const at::Tensor& weight2,
                    const std::optional<at::Tensor>& bias2, const std::optional<at::Tensor>& residual,
                    int64_t activation) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto as = [&](const std::optional<at::Tensor>& bias) {
    return bias ? std::optional<at::Tensor>(bias->to(type)) : std::nullopt;
  };
  const auto y = LeanMlp::apply(x.to(type).contiguous(), weight1.to(type), as(bias1), weight2.to(type), as(bias2),
                                activation);
  return residual ? *residual + y : y;
}

#ifdef BANTAM_AMX

/// Runs `body` as if autocast were on in bfloat16, as it was in the forward pass.
template <typename Body>
auto under_autocast(Body&& body) {
  const bool enabled = at::autocast::is_autocast_enabled(at::kCPU);
  const auto dtype = at::autocast::get_autocast_dtype(at::kCPU);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  auto result = body();
  at::autocast::set_autocast_enabled(at::kCPU, enabled);
  at::autocast::set_autocast_dtype(at::kCPU, dtype);
  return result;
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& residual) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({x, weight, defined_or_none(bias)});
    const bool wide = residual && residual->scalar_type() == at::kFloat;
    auto y = at::empty(with_width(x, weight.size(0)), x.options().dtype(wide ? at::kFloat : at::kBFloat16));
    matrix::forward(x, weight, bias, residual, y);
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &gradient = gradients[0];
    if (at::GradMode::is_enabled()) {
      auto result = plain_gradients(gradient, {x, weight, bias}, [&] {
        return under_autocast([&] { return at::linear(x, weight, optional(bias)); });
      });
      result.push_back(residual_gradient(context, gradient));
      return result;
    }
    const auto dy = gradient.contiguous();
    at::Tensor dx, dweight, dbias;
    if (x.requires_grad()) dx = matrix::backward_input(dy, weight, x.options());
    if (weight.requires_grad() || (bias.defined() && bias.requires_grad())) {
      std::tie(dweight, dbias) = matrix::backward_weight(dy, x, weight, bias, Activation::none);
    }
    return {dx, dweight, dbias, residual_gradient(context, gradient)};
  }
};

struct Mlp : torch::autograd::Function<Mlp> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight1,
                            const std::optional<at::Tensor>& bias1, const at::Tensor& weight2,
                            const std::optional<at::Tensor>& bias2, const std::optional<at::Tensor>& residual,
                            int64_t activation) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto options = x.options().dtype(at::kBFloat16);
    const auto needs_gradient = [](const at::Tensor& t) { return t.defined() && t.requires_grad(); };
    const bool training = needs_gradient(x) || needs_gradient(weight1) || needs_gradient(weight2) ||
                          needs_gradient(defined_or_none(bias1)) || needs_gradient(defined_or_none(bias2));
    const auto hidden = with_width(x, weight1.size(0));
    at::Tensor pre;
    if (training) pre = at::empty(hidden, options);
    const bool wide = residual && residual->scalar_type() == at::kFloat;
    auto y = at::empty(with_width(x, weight2.size(0)), options.dtype(wide ? at::kFloat : at::kBFloat16));
    {
      auto activated = at::empty(hidden, options);
      matrix::forward(x, weight1, bias1, std::nullopt, activated, static_cast<Activation>(activation), pre);
      matrix::forward(activated, weight2, bias2, residual, y);
    }
    context->saved_data["residual"] = residual.has_value();
    context->saved_data["activation"] = activation;
    context->save_for_backward({x, weight1, defined_or_none(bias1), weight2, defined_or_none(bias2), pre});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight1 = saved[1], &bias1 = saved[2], &weight2 = saved[3], &bias2 = saved[4],
               &pre = saved[5], &gradient = gradients[0];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    if (at::GradMode::is_enabled()) {
      auto result = plain_gradients(gradient, {x, weight1, bias1, weight2, bias2}, [&] {
        return under_autocast(
            [&] { return mlp_plain(x, weight1, optional(bias1), weight2, optional(bias2), std::nullopt, activation); });
      });
      result.push_back(residual_gradient(context, gradient));
      result.emplace_back();
      return result;
    }
    const auto dy = gradient.contiguous();
    at::Tensor dx, dweight1, dbias1, dweight2, dbias2;
    std::tie(dweight2, dbias2) = matrix::backward_weight(dy, pre, weight2, bias2, activation);
    const auto dpre = matrix::backward_input(dy, weight2, pre.options(), activation, pre);
    if (x.requires_grad()) dx = matrix::backward_input(dpre, weight1, x.options());
    std::tie(dweight1, dbias1) = matrix::backward_weight(dpre, x, weight1, bias1, Activation::none);
    return {dx, dweight1, dbias1, dweight2, dbias2, residual_gradient(context, gradient), at::Tensor()};
  }
};

#endif  // BANTAM_AMX

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  const std::optional<at::Tensor>& residual) {
#ifdef BANTAM_AMX
  if (matrix::applies(x, weight, bias, residual)) return Linear::apply(x.contiguous(), weight, bias, residual);
#endif
  if (onednn::applies(x, weight, bias, residual)) return WideLinear::apply(x.contiguous(), weight, bias, residual);
  return linear_plain(x, weight, bias, residual);
}

at::Tensor mlp(const at::Tensor& x, const at::Tensor& weight1, const std::optional<at::Tensor>& bias1,
               const at::Tensor& weight2, const std::optional<at::Tensor>& bias2,
               const std::optional<at::Tensor>& residual, int64_t activation) {
#ifdef BANTAM_AMX
  if (matrix::applies(x, weight1, bias1, std::nullopt) && matrix::applies(x, weight2, bias2, residual)) {
    return Mlp::apply(x.contiguous(), weight1, bias1, weight2, bias2, residual, activation);
  }
#endif
  const auto type = type_to_compute_in(x);
  if (LeanMlp::applies(x, type, weight1, weight2)) {
    return mlp_lean(x, type, weight1, bias1, weight2, bias2, residual, activation);
  }
  return mlp_plain(x, weight1, bias1, weight2, bias2, residual, static_cast<Activation>(activation));
}

}  // namespace
}  // namespace bantam::linear

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias=None, Tensor? residual=None) -> Tensor",
              bantam::linear::linear);
  library.def(
      "mlp(Tensor x, Tensor weight1, Tensor? bias1, Tensor weight2, Tensor? bias2, Tensor? residual, int activation) "
      "-> Tensor",
      bantam::linear::mlp);
}
