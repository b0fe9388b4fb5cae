// bantam::linear and bantam::mlp: x·Wᵀ + b and two of them with an activation between, each with the
// residual that it is added to. In bfloat16 on AMX they run on the products of matrix_layers.h, which read
// float32 weights directly and give float32 gradients, so that autocast copies no weights; in float32 on
// CPUs for which MKL was not made on those of onednn.h; elsewhere on libtorch's operators.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "activate.h"
#include "linear_functions.h"
#include "matrix.h"
#include "matrix_layers.h"
#include "onednn.h"

namespace bantam::linear {
namespace {

using gemm::Activation;
using torch::autograd::variable_list;

/// Products of onednn.h. The weights' gradient is one of libtorch's: over so many rows both are even.
struct WideLinear : LinearFunction<WideLinear> {
  static at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias,
                            const OptionalTensor& residual) {
    return onednn::linear(x, weight, bias, residual);
  }

  static at::Tensor plain(const LinearSaved& s) { return at::linear(s.x, s.weight, optional(s.bias)); }

  static variable_list gradients(const LinearSaved& s, const at::Tensor& gradient) {
    const auto dy = rows_of(gradient);
    at::Tensor dx, dweight, dbias;
    if (s.x.requires_grad()) dx = onednn::linear(dy, s.weight.t()).view(s.x.sizes());
    if (s.weight.requires_grad()) dweight = at::mm(dy.t(), rows_of(s.x));
    if (needs_gradient(s.bias)) dbias = dy.sum(0);
    return {dx, dweight, dbias};
  }
};

/// An MLP whose tensors are all of one type, in the memory of one hidden tensor rather than two.
struct LeanMlp : MlpFunction<LeanMlp> {
  static std::pair<at::Tensor, at::Tensor> products(const at::Tensor& x, const at::Tensor& weight1,
                                                    const OptionalTensor& bias1, const at::Tensor& weight2,
                                                    const OptionalTensor& bias2, const OptionalTensor&,
                                                    Activation activation) {
    const auto pre = multiply(x, weight1, bias1);
    return {pre, multiply(activated(pre, activation), weight2, bias2)};
  }

  static at::Tensor plain(const MlpSaved& s) {
    const auto pre = at::linear(s.x, s.weight1, optional(s.bias1));
    return at::linear(activate(pre, s.activation), s.weight2, optional(s.bias2));
  }

  static variable_list gradients(const MlpSaved& s, const at::Tensor& gradient) {
    const auto dy = rows_of(gradient), pre = rows_of(s.pre);
    at::Tensor dx, dweight1, dbias1, dweight2, dbias2;
    if (s.weight2.requires_grad()) dweight2 = at::mm(dy.t(), activated(pre, s.activation));
    if (needs_gradient(s.bias2)) dbias2 = dy.sum(0);
    const auto dpre = activation_gradient(multiply(dy, s.weight2.t(), std::nullopt), pre, s.activation);
    if (s.weight1.requires_grad()) dweight1 = at::mm(dpre.t(), rows_of(s.x));
    if (needs_gradient(s.bias1)) dbias1 = dpre.sum(0);
    if (s.x.requires_grad()) dx = multiply(dpre, s.weight1.t(), std::nullopt).view(s.x.sizes());
    return {dx, dweight1, dbias1, dweight2, dbias2};
  }

  /// Whether it applies to what is to be computed in this type.
  static bool applies(const at::Tensor& x, at::ScalarType type, const at::Tensor& weight1, const at::Tensor& weight2) {
    return (x.device().is_cpu() || x.is_meta()) && x.dim() >= 2 && x.numel() > 0 && weight1.dim() == 2 &&
           weight2.dim() == 2 && (type == at::kFloat || type == at::kBFloat16);
  }

 private:
  static at::Tensor multiply(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias) {
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
                    const OptionalTensor& bias1, const at::Tensor& weight2,
                    const OptionalTensor& bias2, const OptionalTensor& residual,
                    int64_t activation) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto as = [&](const OptionalTensor& bias) {
    return bias ? OptionalTensor(bias->to(type)) : std::nullopt;
  };
  const auto y = LeanMlp::apply(x.to(type).contiguous(), weight1.to(type), as(bias1), weight2.to(type), as(bias2),
                                OptionalTensor(), activation);
  return residual ? *residual + y : y;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias,
                  const OptionalTensor& residual) {
#ifdef BANTAM_AMX
  if (matrix::applies(x, weight, bias, residual)) return matrix::linear(x, weight, bias, residual);
#endif
  if (onednn::applies(x, weight, bias, residual)) return WideLinear::apply(x.contiguous(), weight, bias, residual);
  const auto y = at::linear(x, weight, bias);
  return residual ? *residual + y : y;
}

at::Tensor mlp(const at::Tensor& x, const at::Tensor& weight1, const OptionalTensor& bias1, const at::Tensor& weight2,
               const OptionalTensor& bias2, const OptionalTensor& residual, int64_t activation) {
#ifdef BANTAM_AMX
  if (matrix::applies(x, weight1, bias1, std::nullopt) && matrix::applies(x, weight2, bias2, residual)) {
    return matrix::mlp(x, weight1, bias1, weight2, bias2, residual, activation);
  }
#endif
  const auto type = type_to_compute_in(x);
  if (LeanMlp::applies(x, type, weight1, weight2)) {
    return mlp_lean(x, type, weight1, bias1, weight2, bias2, residual, activation);
  }
  const auto hidden = activate(linear(x, weight1, bias1, std::nullopt), static_cast<Activation>(activation));
  return linear(hidden, weight2, bias2, residual);
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
