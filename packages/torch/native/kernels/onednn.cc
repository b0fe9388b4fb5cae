#include "onednn.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "level.h"
#include "shape.h"

namespace bantam::onednn {
namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;

constexpr const char* kLinear = "mkldnn::_linear_pointwise";

/// MKL chooses its kernels by the maker's name; oneDNN by the instructions that there are.
bool mkl_is_slower() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_is("intel") == 0 && vector_level() >= Level::avx2;
#else
  return false;
#endif
}

bool available() {
  static const bool found = mkl_is_slower() && at::hasMKL() && at::hasMKLDNN() &&
                            c10::Dispatcher::singleton().findSchema({kLinear, "binary"}).has_value();
  return found && at::globalContext().userEnabledMkldnn();
}

bool is_supported(const at::Tensor& x) {
  return x.device().is_cpu() && x.layout() == at::kStrided && x.scalar_type() == at::kFloat;
}

}  // namespace

bool applies(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
             const std::optional<at::Tensor>& residual) {
  if (!available() || !is_supported(x) || !is_supported(weight) || (bias && !is_supported(*bias))) return false;
  if (at::autocast::is_autocast_enabled(at::kCPU) || x.dim() < 2 || weight.dim() != 2) return false;
  if (residual && (!is_supported(*residual) || residual->sizes() != with_width(x, weight.size(0)))) return false;
  return x.numel() > 0 && weight.numel() > 0 && x.size(-1) == weight.size(1);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  const std::optional<at::Tensor>& residual) {
  static auto product =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow(kLinear, "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            Scalars, std::optional<std::string_view>)>();
  static auto product_and_sum =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow(kLinear, "binary")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            std::string_view)>();
  if (residual) return product_and_sum.call(x, residual->contiguous(), weight, bias, "add");
  return product.call(x, weight, bias, "none", Scalars(), "");
}

}  // namespace bantam::onednn
