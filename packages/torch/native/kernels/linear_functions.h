// Autograd functions of linear layers and MLPs. A layer brings its products, forward and backward; what
// all layers share is here: what is saved, the residual's gradient, and the gradient of the gradient.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "gemm.h"

namespace bantam {

using OptionalTensor = std::optional<at::Tensor>;

inline at::Tensor value_or_undefined(const OptionalTensor& x) { return x ? *x : at::Tensor(); }

inline OptionalTensor optional(const at::Tensor& x) { return x.defined() ? OptionalTensor(x) : std::nullopt; }

inline bool needs_gradient(const at::Tensor& x) { return x.defined() && x.requires_grad(); }

/// x [*, n] as rows [m, n].
inline at::Tensor rows_of(const at::Tensor& x) { return x.contiguous().view({-1, x.size(-1)}); }

/// Gradients of y = f(inputs) by libtorch's own operators, themselves differentiable.
template <typename Function>
torch::autograd::variable_list plain_gradients(const at::Tensor& gradient, at::TensorList inputs,
                                               Function&& function) {
  torch::autograd::variable_list wanted;
  for (const auto& input : inputs) {
    if (needs_gradient(input)) wanted.push_back(input);
  }
  if (wanted.empty()) return torch::autograd::variable_list(inputs.size());
  const auto y = function();
  auto found = torch::autograd::grad({y}, wanted, {gradient.to(y.scalar_type())}, true, true, true);
  torch::autograd::variable_list gradients;
  auto next = found.begin();
  for (const auto& input : inputs) gradients.push_back(needs_gradient(input) ? *next++ : at::Tensor());
  return gradients;
}

/// The backward pass of a layer y = f(inputs) + residual. A `Layer` has
///   kInputs                        how many of the saved tensors are inputs; they come first
///   plain(saved)                   y without the residual, by libtorch's operators
///   gradients(saved, dy)           gradients of the inputs
/// `Saved` names the saved tensors.
template <typename Layer, typename Saved>
struct LayerFunction : torch::autograd::Function<Layer> {
  using Context = torch::autograd::AutogradContext;

  static torch::autograd::variable_list backward(Context* context, torch::autograd::variable_list gradients) {
    const auto tensors = context->get_saved_variables();
    const Saved saved(tensors, *context);
    const auto& gradient = gradients[0];
    auto result = at::GradMode::is_enabled()
                      ? plain_gradients(gradient, at::TensorList(tensors).slice(0, Saved::kInputs),
                                        [&] { return Layer::plain(saved); })
                      : Layer::gradients(saved, gradient);
    result.push_back(context->saved_data["residual"].toBool() ? gradient : at::Tensor());
    // Arguments that are no tensors have no gradient.
    result.resize(result.size() + Saved::kNumbers);
    return result;
  }
};

/// What a linear layer saves.
struct LinearSaved {
  static constexpr size_t kInputs = 3, kNumbers = 0;
  const at::Tensor &x, &weight, &bias;

  LinearSaved(const torch::autograd::variable_list& saved, torch::autograd::AutogradContext&)
      : x(saved[0]), weight(saved[1]), bias(saved[2]) {}
};

/// y = x·Wᵀ + b + residual. A `Layer` has, besides what LayerFunction asks for,
///   product(x, weight, bias, residual) → y
template <typename Layer>
struct LinearFunction : LayerFunction<Layer, LinearSaved> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& bias, const OptionalTensor& residual) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({x, weight, value_or_undefined(bias)});
    return Layer::product(x, weight, bias, residual);
  }
};

/// What an MLP saves: its inputs, and what its activation is given (`pre`), from which the activation is
/// computed again: kept, each would take four times the MLP's width.
struct MlpSaved {
  static constexpr size_t kInputs = 5, kNumbers = 1;
  const at::Tensor &x, &weight1, &bias1, &weight2, &bias2, &pre;
  const gemm::Activation activation;

  MlpSaved(const torch::autograd::variable_list& saved, torch::autograd::AutogradContext& context)
      : x(saved[0]), weight1(saved[1]), bias1(saved[2]), weight2(saved[3]), bias2(saved[4]), pre(saved[5]),
        activation(static_cast<gemm::Activation>(context.saved_data["activation"].toInt())) {}
};

/// y = activation(x·W₁ᵀ + b₁)·W₂ᵀ + b₂ + residual. A `Layer` has, besides what LayerFunction asks for,
///   products(x, weight1, bias1, weight2, bias2, residual, activation) → {pre, y}
template <typename Layer>
struct MlpFunction : LayerFunction<Layer, MlpSaved> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight1,
                            const OptionalTensor& bias1, const at::Tensor& weight2, const OptionalTensor& bias2,
                            const OptionalTensor& residual, int64_t activation) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [pre, y] = Layer::products(x, weight1, bias1, weight2, bias2, residual,
                                    static_cast<gemm::Activation>(activation));
    context->saved_data["residual"] = residual.has_value();
    context->saved_data["activation"] = activation;
    context->save_for_backward({x, weight1, value_or_undefined(bias1), weight2, value_or_undefined(bias2), pre});
    return y;
  }
};

}  // namespace bantam
