// bantam::fused_conv, bantam::add_fused_conv_, bantam::linear_packed and bantam::mlp_packed: layers for
// inference that do on the way what follows them: bias, activation, residual. In float32 bantam::pack_linear
// gives the panels of panel_layers.h, where there is a kernel for them; else oneDNN's own order. Weights of
// convolutions that oneDNN computes stay in theirs: the best order depends on the map's size, and oneDNN
// takes longer to bring one of its orders into another than to convolve. Where none of the two applies,
// libtorch's operators compute.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <string_view>

#include "activate.h"
#include "onednn.h"
#include "panel_layers.h"
#include "shape.h"

namespace bantam::packed_layers {
namespace {

using at::Tensor;
using gemm::Activation;
using OptionalTensor = std::optional<Tensor>;
using Scalars = torch::List<std::optional<at::Scalar>>;

template <typename Signature>
auto find(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

/// Whether oneDNN multiplies in the type of a weight.
bool packs(const Tensor& weight) {
  static const bool has_operators = at::hasMKLDNN() &&
                                    c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}) &&
                                    c10::Dispatcher::singleton().findSchema({"mkldnn::_convolution_pointwise", ""});
  if (!has_operators || !at::globalContext().userEnabledMkldnn() || !weight.device().is_cpu()) return false;
  if (weight.scalar_type() == at::kFloat) return true;
  static const auto has_bfloat16 = find<bool()>("mkldnn::_is_mkldnn_bf16_supported");
  return weight.scalar_type() == at::kBFloat16 && has_bfloat16.call();
}

Tensor pack_linear(const Tensor& weight, int64_t rows) {
  // oneDNN's products of many rows in bfloat16 are the faster ones.
  if (weight.scalar_type() == at::kFloat && panels::packs(weight)) return panels::pack(weight);
  if (!packs(weight)) return weight.contiguous();
  static const auto reorder = find<Tensor(const Tensor&, std::optional<int64_t>)>("mkldnn::_reorder_linear_weight");
  return reorder.call(weight.contiguous(), rows);
}

/// A tensor as it goes into a product, in the weight's type and order.
Tensor map_for(const Tensor& x, const Tensor& weight) {
  return x.to(weight.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
}

Tensor wide(const Tensor& x) { return (x.scalar_type() == at::kFloat ? x : x.to(at::kFloat)).contiguous(); }

OptionalTensor wide(const OptionalTensor& bias) { return bias ? OptionalTensor(wide(*bias)) : std::nullopt; }

OptionalTensor narrow(const OptionalTensor& bias, const Tensor& weight) {
  return bias ? OptionalTensor(bias->to(weight.scalar_type()).contiguous()) : std::nullopt;
}

/// oneDNN's max(x, 0) makes 0 of NaN, but not the one whose slope below 0 is not quite 0. Its numbers are
/// added to others of a usual size, or read by max(x, 0) of another operator.
constexpr const char* kRectify = "leaky_relu";
constexpr double kSlope = 1e-30;

Tensor fused_conv(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
                   at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups, bool relu) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (!packs(weight)) {
    auto y = at::conv2d(x.to(weight.scalar_type()), weight, narrow(bias, weight), stride, padding, dilation, groups);
    return relu ? y.relu_() : y;
  }
  static const auto convolve =
      find<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, at::IntArrayRef, at::IntArrayRef,
                  at::IntArrayRef, int64_t, std::string_view, Scalars, std::optional<std::string_view>)>(
          "mkldnn::_convolution_pointwise");
  Scalars scalars;
  if (relu) scalars.push_back(at::Scalar(kSlope));
  return convolve.call(map_for(x, weight), weight, wide(bias), padding, stride, dilation, groups,
                       relu ? kRectify : "none", scalars, std::nullopt);
}

void add_fused_conv(Tensor& y, const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                     at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                     bool relu) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (!packs(weight) || y.scalar_type() != weight.scalar_type()) {
    y.add_(fused_conv(x, weight, bias, stride, padding, dilation, groups, false));
    if (relu) y.relu_();
    return;
  }
  static const auto add =
      find<Tensor&(Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, at::IntArrayRef, at::IntArrayRef,
                   at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>,
                   std::optional<std::string_view>, Scalars, std::optional<std::string_view>)>(
          "mkldnn::_convolution_pointwise_", "binary");
  // This form takes no other bias than one of the map's type.
  add.call(y, map_for(x, weight), weight, narrow(bias, weight), padding, stride, dilation, groups, "add", at::Scalar(1.0),
           std::nullopt, Scalars(), std::nullopt);
  // It knows no other than the max(x, 0) that loses NaN.
  if (relu) y.relu_();
}

Tensor plain_linear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
  return at::linear(x.to(weight.scalar_type()), weight, narrow(bias, weight));
}

/// Rows to take at a time, so that the values between two products stays in the caches of the cores.
int64_t block_rows(int64_t width) {
  return std::clamp<int64_t>((1 << 19) / std::max<int64_t>(width, 1), 256, 2048) * at::get_num_threads();
}

Tensor linear_packed(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                     const OptionalTensor& residual) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (panels::is_packed(weight) && (!residual || residual->scalar_type() == weight.scalar_type())) {
    return panels::linear(x, weight, bias, residual);
  }
  const auto y = panels::is_packed(weight) ? panels::linear(x, weight, bias)
                 : weight.is_mkldnn() ? onednn::linear(x.to(weight.scalar_type()).contiguous(), weight, wide(bias))
                                      : plain_linear(x, weight, bias);
  return residual ? *residual + y : y;
}

/// An MLP of weights in panels, for some rows at a time, whose hidden values stay in the caches.
Tensor mlp_panels(const Tensor& input, const Tensor& weight1, const OptionalTensor& bias1, const Tensor& weight2,
                  const OptionalTensor& bias2, const OptionalTensor& given_residual, Activation kind) {
  TORCH_CHECK(input.dim() > 0 && input.size(-1) > 0, "an MLP takes rows, not a number");
  TORCH_CHECK(input.is_cpu() && (!given_residual || given_residual->is_cpu()), "weights in panels are for the CPU");
  const auto x = wide(input).view({-1, input.size(-1)});
  const int64_t depth = x.size(1), hidden = panels::outputs_of(weight1, depth, depth);
  const int64_t outputs = panels::outputs_of(weight2, hidden, hidden);
  TORCH_CHECK(!bias1 || bias1->numel() == hidden, "a bias has a number for each of ", hidden, " outputs");
  TORCH_CHECK(!bias2 || bias2->numel() == outputs, "a bias has a number for each of ", outputs, " outputs");
  const auto shape = with_width(input, outputs);
  OptionalTensor residual;
  if (given_residual) {
    TORCH_CHECK(given_residual->sizes() == at::IntArrayRef(shape), "a residual has the result's shape");
    residual = wide(*given_residual).view({-1, outputs});
  }
  const Tensor y = at::detail::empty_cpu({x.size(0), outputs}, at::kFloat);
  const int64_t step = block_rows(hidden);
  for (int64_t first = 0; first < x.size(0); first += step) {
    const int64_t rows = std::min(step, x.size(0) - first);
    const bool is_whole = rows == x.size(0);
    const auto part = [&](const Tensor& all) { return is_whole ? all : all.narrow(0, first, rows); };
    Tensor units = at::detail::empty_cpu({rows, hidden}, at::kFloat), target = part(y);
    panels::linear_into(part(x), weight1, bias1, {}, units, kind);
    panels::linear_into(units, weight2, bias2, residual ? OptionalTensor(part(*residual)) : std::nullopt, target);
  }
  const auto result = y.view(shape);
  return given_residual && given_residual->scalar_type() != at::kFloat ? result.to(given_residual->scalar_type()) : result;
}

Tensor mlp_packed(const Tensor& input, const Tensor& weight1, const OptionalTensor& given_bias1, const Tensor& weight2,
                  const OptionalTensor& given_bias2, const OptionalTensor& given_residual, int64_t activation) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto kind = static_cast<Activation>(activation);
  const bool are_floats = weight1.scalar_type() == at::kFloat && weight2.scalar_type() == at::kFloat;
  if (panels::is_packed(weight1) && panels::is_packed(weight2) && are_floats) {
    return mlp_panels(input, weight1, given_bias1, weight2, given_bias2, given_residual, kind);
  }
  if (panels::is_packed(weight1) || panels::is_packed(weight2)) {
    const auto units = activated_in_place(linear_packed(input, weight1, given_bias1, std::nullopt), kind);
    return linear_packed(units, weight2, given_bias2, given_residual);
  }
  if (!weight1.is_mkldnn() || !weight2.is_mkldnn()) {
    auto y = plain_linear(activate(plain_linear(input, weight1, given_bias1), kind), weight2, given_bias2);
    return given_residual ? *given_residual + y : y;
  }
  const auto type = weight1.scalar_type();
  const auto bias1 = wide(given_bias1), bias2 = wide(given_bias2);
  const auto x = input.to(type).contiguous().view({-1, input.size(-1)});
  const auto shape = with_width(input, weight2.size(0));
  const auto result = given_residual ? given_residual->scalar_type() : type;
  const auto y = at::empty({x.size(0), shape.back()}, x.options().dtype(result));
  const auto residual = given_residual ? given_residual->contiguous().view(y.sizes()) : Tensor();
  const int64_t step = block_rows(weight1.size(0));
  for (int64_t first = 0; first < x.size(0); first += step) {
    const int64_t rows = std::min(step, x.size(0) - first);
    const auto units = activated_in_place(onednn::linear(x.narrow(0, first, rows), weight1, bias1), kind);
    const auto part = onednn::linear(units, weight2, bias2);
    auto target = y.narrow(0, first, rows);
    if (residual.defined()) {
      at::add_out(target, residual.narrow(0, first, rows), part);
    } else {
      target.copy_(part);
    }
  }
  return y.view(shape);
}

}  // namespace
}  // namespace bantam::packed_layers

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("pack_linear(Tensor weight, int rows) -> Tensor", bantam::packed_layers::pack_linear);
  library.def("linear_packed(Tensor x, Tensor weight, Tensor? bias, Tensor? residual=None) -> Tensor", bantam::packed_layers::linear_packed);
  library.def(
      "fused_conv(Tensor x, Tensor weight, Tensor? bias, int[2] stride, int[2] padding, int[2] dilation, int groups, "
      "bool relu) -> Tensor",
      bantam::packed_layers::fused_conv);
  library.def(
      "add_fused_conv_(Tensor(a!) y, Tensor x, Tensor weight, Tensor? bias, int[2] stride, int[2] padding, "
      "int[2] dilation, int groups, bool relu) -> ()",
      bantam::packed_layers::add_fused_conv);
  library.def(
      "mlp_packed(Tensor x, Tensor weight1, Tensor? bias1, Tensor weight2, Tensor? bias2, Tensor? residual, "
      "int activation) -> Tensor",
      bantam::packed_layers::mlp_packed);
}
