// bantam::linear_int8 and bantam::mlp_int8: linear layers whose weights are int8, for inference.
//
//   x ≈ s·q with s = max|x| / 127 for each row of x, as it comes
//   W ≈ t·p with t = max|W| / 127 for each row of W, made once
//   x·Wᵀ + b ≈ s·t·(q·pᵀ) + b
//
// The product of the whole numbers is that of panel_layers.h from AVX2 on and libtorch's oneDNN on AMX, with
// weights that pack_int8 has brought into its order; what surrounds it is done for a few rows at a time,
// while the sums are in the caches. Weights in the usual order take a product of libtorch in float32.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <algorithm>

#include "activate.h"
#include "int8_rows.h"
#include "panel_layers.h"
#include "processor.h"
#include "shape.h"
#include "team.h"

namespace bantam::linear_int8 {
namespace {

using gemm::Activation;
using gemm::Matrix;

/// True if oneDNN multiplies int8 fast: without these instructions its 16-bit sums overflow.
bool has_onednn_products() {
#ifdef BANTAM_AVX512
  static const bool found = c10::Dispatcher::singleton().findSchema({"onednn::qlinear_prepack", ""}).has_value() &&
                            level() >= Level::avx512 &&
                            (processor_has({"avx512_vnni"}) || processor_has({"amx_int8"}));
  return found;
#else
  return false;
#endif
}

/// True if there are fast products of int8.
bool has_int8_products() { return has_onednn_products() || panels::has_int8_products(); }

at::Tensor pack_int8(const at::Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kChar, "int8 weights are int8 matrices");
  if (!weight.device().is_cpu()) return weight.contiguous();
  if (level() != Level::amx && panels::packs_int8(weight)) return panels::pack_int8(weight);
  if (!has_onednn_products()) return weight.contiguous();
  static auto prepack = c10::Dispatcher::singleton()
                            .findSchemaOrThrow("onednn::qlinear_prepack", "")
                            .typed<at::Tensor(at::Tensor, std::optional<torch::List<int64_t>>)>();
  return prepack.call(weight.contiguous(), std::nullopt);
}

/// Sizes of a weight in any order.
struct Sizes {
  int64_t inputs, outputs;
};

/// Those of a weight for rows of `width`, or of its own inputs where it knows them.
Sizes sizes_of(const at::Tensor& weight, int64_t width) {
  if (weight.is_mkldnn()) return {weight.size(0), weight.size(1)};  // oneDNN's order counts the inputs first
  if (!panels::is_packed(weight)) {
    TORCH_CHECK(weight.dim() == 2, "int8 weights are int8 matrices");
    return {weight.size(1), weight.size(0)};
  }
  return {width, panels::int8_outputs(weight, width)};
}

/// True for a weight of pack_int8 that a fast product takes.
bool is_fast(const at::Tensor& weight) { return weight.is_mkldnn() || panels::is_packed(weight); }

int64_t last_size(const at::Tensor& x) { return x.dim() >= 1 ? x.size(-1) : 0; }

/// float32 where the residual is, else what autocast asks for, else the type of x.
at::ScalarType result_type(const at::Tensor& x, const std::optional<at::Tensor>& residual) {
  if (residual && residual->scalar_type() == at::kFloat) return at::kFloat;
  const auto device = x.device().type();
  return at::autocast::is_autocast_enabled(device) ? at::autocast::get_autocast_dtype(device) : x.scalar_type();
}

void check(const at::Tensor& x, int64_t inputs) {
  TORCH_CHECK(!(at::GradMode::is_enabled() && x.requires_grad()),
              "int8 layers have no gradients: run them without (noGrad), and train in bf16 or fp32");
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == inputs, "a linear layer of ", inputs, " inputs was given ",
              x.dim() >= 1 ? x.size(-1) : 0);
}

at::Tensor linear_plain(const at::Tensor& x, at::TensorList weight, const at::Tensor& scale,
                        const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& residual) {
  const auto wide = x.to(at::kFloat);
  const auto most = wide.abs().amax(-1, true);
  const auto factor = at::where(most.gt(1e-30), 127 / most, 0);
  // Whole numbers in float32, whose products and sums are nearly all exact.
  const auto sums = at::linear((wide * factor).round(), at::cat(weight).to(at::kFloat));
  auto y = sums * scale * (most / 127);
  if (bias) y = y + *bias;
  return residual ? y + *residual : y;
}

/// A tensor in float32 without gaps, itself where it is.
at::Tensor wide(const at::Tensor& x) { return (x.scalar_type() == at::kFloat ? x : x.to(at::kFloat)).contiguous(); }

/// What a pass over a row of so many numbers takes, about.
int64_t nanoseconds(int64_t width) { return width / 8; }

/// A weight in the order of a fast product, with its factors.
struct Packed {
  at::Tensor weight, scale;
  int64_t outputs, first;

  /// For rows of so many inputs, with its part of the factors from `first` on.
  Packed(const at::Tensor& weight, const at::Tensor& scale, int64_t inputs, int64_t first = 0)
      : weight(weight), scale(wide(scale)), outputs(sizes_of(weight, inputs).outputs), first(first) {
    TORCH_CHECK(scale.is_cpu() && scale.dim() == 1 && first + outputs <= scale.size(0), "int8 weights of ",
                first + outputs, " outputs have as many scales, not ", scale.numel());
  }

  /// Σ (q − 128)·p·scale of q uint8 [m, k] → [m, n], what `finish` makes of the sums.
  at::Tensor multiply(const at::Tensor& q, panels::Finishing finish) const {
    if (panels::is_packed(weight)) {
      return panels::int8_product(q, weight, scale.const_data_ptr<float>() + first, finish);
    }
    const auto zeros = at::zeros({outputs}, at::kInt);
    static auto product =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("onednn::qlinear_pointwise", "")
            .typed<at::Tensor(at::Tensor, double, int64_t, at::Tensor, at::Tensor, at::Tensor,
                              std::optional<at::Tensor>, double, int64_t, std::optional<at::ScalarType>,
                              std::string_view, torch::List<std::optional<at::Scalar>>, std::string_view)>();
    auto y = product.call(q, 1.0, 128, weight, scale.narrow(0, first, outputs), zeros, std::nullopt, 1.0, 0,
                          at::kFloat, "none", torch::List<std::optional<at::Scalar>>(), "");
    float* const sums = y.mutable_data_ptr<float>();
    for_rows(q.size(0), nanoseconds(outputs), [&](int64_t row, int64_t count) {
      finish({0, outputs, row, row + count}, sums + row * outputs, outputs);
    });
    return y;
  }
};

/// Rows of float32 or bfloat16 without gaps.
struct Rows {
  at::Tensor tensor;
  int64_t width = 0, count = 0;

  explicit Rows(const at::Tensor& x) {
    TORCH_CHECK(x.is_cpu(), "int8 weights in the CPU's order are for the CPU, not for ", x.device());
    const bool as_is = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
    tensor = (as_is ? x : x.to(at::kFloat)).contiguous();
    width = tensor.size(-1);
    count = width == 0 ? 0 : tensor.numel() / width;
  }

  bool wide() const { return tensor.scalar_type() == at::kFloat; }

  void* at(int64_t row, int64_t column = 0) const {
    return static_cast<char*>(tensor.data_ptr()) + (row * width + column) * tensor.element_size();
  }

  Matrix matrix(int64_t row, int64_t column = 0) const { return {at(row, column), width, wide()}; }
};

/// A residual of the result's shape.
std::optional<Rows> residual_of(const std::optional<at::Tensor>& x, at::IntArrayRef sizes) {
  if (!x) return std::nullopt;
  TORCH_CHECK(x->is_cpu() && x->sizes() == sizes, "a residual has the result's shape");
  return Rows(*x);
}

/// A bias for so many outputs; undefined: none.
at::Tensor bias_of(const std::optional<at::Tensor>& bias, int64_t outputs) {
  if (!bias) return {};
  TORCH_CHECK(bias->is_cpu() && bias->numel() == outputs, "a bias has a number for each of ", outputs, " outputs");
  return wide(*bias);
}

const float* column(const at::Tensor& bias, int64_t at) {
  return bias.defined() ? bias.const_data_ptr<float>() + at : nullptr;
}

/// Rows in int8 with their scales.
struct Quantized {
  at::Tensor q, scale;

  explicit Quantized(const Rows& x, int64_t first, int64_t rows)
      : q(at::detail::empty_cpu({rows, x.width}, at::kByte)), scale(at::detail::empty_cpu({rows}, at::kFloat)) {
    auto* bytes = q.mutable_data_ptr<uint8_t>();
    for_rows(rows, 2 * nanoseconds(x.width), [&](int64_t begin, int64_t count) {
      int8::quantize_rows(x.matrix(first + begin), count, x.width, bytes + begin * x.width, scales() + begin);
    });
  }

  float* scales() const { return scale.mutable_data_ptr<float>(); }
};

/// How many rows to take at a time, so that their sums stay in the caches of the cores.
int64_t block_rows(int64_t width) {
  return std::clamp<int64_t>((1 << 18) / std::max<int64_t>(width, 1), 64, 512) * at::get_num_threads();
}

/// The rows and columns of a part, whose sums are to be multiplied by their rows' scales.
int8::Finish finish_of(const panels::Part& part, float* sums, int64_t stride, const Quantized& x, const float* bias) {
  return {part.end_row - part.first_row, part.end_output - part.first_output, sums, stride,
          x.scales() + part.first_row, bias};
}

/// Columns from `offset` of y = scale·sums + bias + residual, for the rows from `first`.
void multiply_into(const Packed& packed, const Quantized& x, const at::Tensor& bias,
                   const std::optional<Rows>& residual, const Rows& y, int64_t first, int64_t offset) {
  packed.multiply(x.q, [&](const panels::Part& part, float* sums, int64_t stride) {
    const int64_t row = first + part.first_row, output = offset + part.first_output;
    int8::finish_rows(finish_of(part, sums, stride, x, column(bias, output)),
                      residual ? residual->matrix(row, output) : Matrix{}, y.at(row, output), y.width, y.wide());
  });
}

at::Tensor linear_packed(const at::Tensor& input, at::TensorList weight, const at::Tensor& scale,
                         const std::optional<at::Tensor>& given_bias, const std::optional<at::Tensor>& given_residual,
                         at::ScalarType dtype) {
  std::vector<Packed> parts;
  int64_t widest = 0, outputs = 0;
  for (const auto& part : weight) {
    parts.emplace_back(part, scale, input.size(-1), outputs);
    widest = std::max(widest, parts.back().outputs);
    outputs += parts.back().outputs;
  }
  const Rows x(input);
  const auto sizes = with_width(input, outputs);
  const auto residual = residual_of(given_residual, sizes);
  const auto bias = bias_of(given_bias, outputs);
  const Rows y(at::detail::empty_cpu(sizes, dtype == at::kBFloat16 ? dtype : at::kFloat));
  const int64_t step = block_rows(widest);
  for (int64_t first = 0; first < x.count; first += step) {
    const Quantized block(x, first, std::min(step, x.count - first));
    int64_t offset = 0;
    for (const auto& part : parts) {
      multiply_into(part, block, bias, residual, y, first, offset);
      offset += part.outputs;
    }
  }
  return y.tensor;
}

at::Tensor mlp_packed(const at::Tensor& input, const Packed& first_layer, const std::optional<at::Tensor>& given_bias1,
                      const Packed& second_layer, const std::optional<at::Tensor>& given_bias2,
                      const std::optional<at::Tensor>& given_residual, Activation activation,
                      at::ScalarType dtype) {
  const Rows x(input);
  const int64_t hidden = first_layer.outputs, outputs = second_layer.outputs;
  const auto sizes = with_width(input, outputs);
  const auto residual = residual_of(given_residual, sizes);
  const auto bias1 = bias_of(given_bias1, hidden), bias2 = bias_of(given_bias2, outputs);
  const Rows y(at::detail::empty_cpu(sizes, dtype == at::kBFloat16 ? dtype : at::kFloat));
  const int64_t step = block_rows(std::max(hidden, outputs));
  for (int64_t first = 0; first < x.count; first += step) {
    const int64_t rows = std::min(step, x.count - first);
    const Quantized block(x, first, rows);
    const Rows units(first_layer.multiply(block.q, [&](const panels::Part& part, float* sums, int64_t stride) {
      int8::activate_rows(finish_of(part, sums, stride, block, column(bias1, part.first_output)), activation);
    }));
    multiply_into(second_layer, Quantized(units, 0, rows), bias2, residual, y, first, 0);
  }
  return y.tensor;
}

/// By the fast product or the plain one, as the weight is packed.
at::Tensor linear_of(const at::Tensor& x, at::TensorList weight, const at::Tensor& scale,
                     const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& residual,
                     at::ScalarType dtype) {
  if (is_fast(weight[0])) return linear_packed(x, weight, scale, bias, residual, dtype).to(dtype);
  return linear_plain(x, weight, scale, bias, residual).to(dtype);
}

at::Tensor linear_int8(const at::Tensor& x, at::TensorList weight, const at::Tensor& scale,
                       const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& residual) {
  TORCH_CHECK(!weight.empty(), "a linear layer needs weights");
  check(x, sizes_of(weight[0], last_size(x)).inputs);
  const auto dtype = result_type(x, residual);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  return linear_of(x, weight, scale, bias, residual, dtype);
}

at::Tensor mlp_int8(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& scale1,
                    const std::optional<at::Tensor>& bias1, const at::Tensor& weight2, const at::Tensor& scale2,
                    const std::optional<at::Tensor>& bias2, const std::optional<at::Tensor>& residual,
                    int64_t activation) {
  check(x, sizes_of(weight1, last_size(x)).inputs);
  const auto dtype = result_type(x, residual);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto kind = static_cast<Activation>(activation);
  if (is_fast(weight1) && is_fast(weight2)) {
    const Packed first(weight1, scale1, x.size(-1)), second(weight2, scale2, first.outputs);
    return mlp_packed(x, first, bias1, second, bias2, residual, kind, dtype).to(dtype);
  }
  const auto units = activate(linear_of(x, {weight1}, scale1, bias1, std::nullopt, at::kFloat), kind);
  return linear_of(units, {weight2}, scale2, bias2, residual, dtype);
}

}  // namespace
}  // namespace bantam::linear_int8

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("has_int8_products() -> bool", bantam::linear_int8::has_int8_products);
  library.def("pack_int8(Tensor weight) -> Tensor", bantam::linear_int8::pack_int8);
  library.def(
      "linear_int8(Tensor x, Tensor[] weight, Tensor scale, Tensor? bias=None, Tensor? residual=None) -> Tensor",
      bantam::linear_int8::linear_int8);
  library.def(
      "mlp_int8(Tensor x, Tensor weight1, Tensor scale1, Tensor? bias1, Tensor weight2, Tensor scale2, Tensor? bias2, "
      "Tensor? residual, int activation) -> Tensor",
      bantam::linear_int8::mlp_int8);
}
