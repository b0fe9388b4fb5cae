#include "matrix.h"

#include <ATen/autocast_mode.h>

#include "processor.h"
#include "shape.h"
#include "team.h"

namespace bantam::matrix {

namespace {

void run_product(const gemm::Product& product, const gemm::Workspace& workspace) {
#ifdef BANTAM_EMULATED_AMX
  if (limit().emulated) return gemm::emulated_amx::multiply(product, workspace);
#endif
  gemm::amx::multiply(product, workspace);
}

void multiply(const gemm::Product& product) {
  gemm::Workspace workspace{nullptr, at::get_num_threads(), run_tasks};
  const auto packed = at::empty({gemm::amx::needs(product, workspace.threads).packed_bytes}, at::kByte);
  workspace.packed = packed.mutable_data_ptr();
  run_product(product, workspace);
}

bool is_supported(const at::Tensor& x) {
  return x.device().is_cpu() && x.layout() == at::kStrided &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

/// A contiguous tensor as rows of its last dimension.
gemm::Matrix rows_of(const at::Tensor& x) {
  return {x.const_data_ptr(), x.size(-1), x.scalar_type() == at::kFloat};
}

gemm::Matrix matrix_of(const at::Tensor& x) {
  return {x.const_data_ptr(), x.stride(0), x.scalar_type() == at::kFloat};
}

int64_t row_count(const at::Tensor& x) { return x.numel() / x.size(-1); }

uint16_t* bits(const at::Tensor& x) { return x.defined() ? static_cast<uint16_t*>(x.data_ptr()) : nullptr; }

}  // namespace

bool applies(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
             const std::optional<at::Tensor>& residual) {
  if (level() != Level::amx || !is_supported(x) || !is_supported(weight)) return false;
  if (at::autocast::is_autocast_enabled(at::kCPU)) {
    if (at::autocast::get_autocast_dtype(at::kCPU) != at::kBFloat16) return false;
  } else if (x.scalar_type() != at::kBFloat16 || weight.scalar_type() != at::kBFloat16) {
    return false;
  }
  if (bias && (!is_supported(*bias) || bias->dim() != 1)) return false;
  if (x.dim() < 1 || weight.dim() != 2) return false;
  if (residual && (!is_supported(*residual) || residual->sizes() != with_width(x, weight.size(0)))) return false;
  return x.numel() > 0 && weight.stride(1) == 1 && weight.numel() > 0;
}

void forward(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
             const std::optional<at::Tensor>& residual, at::Tensor& y, gemm::Activation activation,
             const at::Tensor& pre) {
  TORCH_CHECK(x.size(-1) == weight.size(1), "a linear layer of ", weight.size(1), " inputs was given ", x.size(-1));
  gemm::Product product;
  product.m = row_count(x);
  product.n = weight.size(0);
  product.k = weight.size(1);
  product.a.matrix = rows_of(x);
  product.b = {matrix_of(weight), true};
  product.c = y.mutable_data_ptr();
  product.wide_c = y.scalar_type() == at::kFloat;
  at::Tensor wide_bias;
  if (bias) {
    wide_bias = bias->to(at::kFloat).contiguous();
    product.bias = wide_bias.const_data_ptr<float>();
  }
  at::Tensor rest;
  if (residual) {
    rest = residual->contiguous();
    product.residual = rows_of(rest);
  }
  product.activation = activation;
  product.pre = bits(pre);
  multiply(product);
}

at::Tensor backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::TensorOptions& options,
                          gemm::Activation activation, const at::Tensor& pre) {
  auto dx = at::empty(with_width(dy, weight.size(1)), options);
  gemm::Product product;
  product.m = row_count(dy);
  product.n = weight.size(1);
  product.k = weight.size(0);
  product.a.matrix = rows_of(dy);
  product.b = {matrix_of(weight), false};
  product.c = dx.mutable_data_ptr();
  product.wide_c = dx.scalar_type() == at::kFloat;
  product.slope = activation;
  product.slope_at = bits(pre);
  multiply(product);
  return dx;
}

std::tuple<at::Tensor, at::Tensor> backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                                                   const at::Tensor& bias, gemm::Activation activation) {
  const auto wide = x.options().dtype(at::kFloat);
  auto dweight = at::empty(weight.sizes(), wide);
  gemm::Product product;
  product.m = weight.size(0);
  product.n = weight.size(1);
  product.k = row_count(dy);
  product.a = {rows_of(dy), true};
  product.b = {rows_of(x), false, activation};
  product.c = dweight.mutable_data_ptr();
  product.wide_c = true;
  at::Tensor sums;
  if (bias.defined()) {
    const int64_t parts = gemm::amx::needs(product, at::get_num_threads()).row_sums;
    sums = at::zeros({parts, (product.m + 31) / 32 * 32}, wide);
    product.row_sums = sums.mutable_data_ptr<float>();
  }
  multiply(product);
  if (bias.defined()) sums = sums.sum(0).narrow(0, 0, product.m).to(bias.scalar_type());
  return {dweight.to(weight.scalar_type()), sums};
}

}  // namespace bantam::matrix
