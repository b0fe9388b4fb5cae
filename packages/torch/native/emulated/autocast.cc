// Autocast of the device: libtorch's own lists of operators for GPUs.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "emulated.h"

namespace bantam::emulated {
namespace {

void register_lists(torch::Library& m) {
  using at::Scalar;
  using at::Tensor;
  using at::IntArrayRef;
  using at::ScalarType;
#define BANTAM_LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
  AT_FORALL_LOWER_PRECISION_FP(BANTAM_LOWER)
#undef BANTAM_LOWER
#define BANTAM_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
  AT_FORALL_FP32(BANTAM_FP32)
#undef BANTAM_FP32
#define BANTAM_SET_DTYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
  AT_FORALL_FP32_SET_OPT_DTYPE(BANTAM_SET_DTYPE)
#undef BANTAM_SET_DTYPE
#define BANTAM_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_PROMOTE(BANTAM_PROMOTE)
#undef BANTAM_PROMOTE
}

}  // namespace

void install_autocast(torch::Library& aten) {
  register_lists(aten);
  if (c10::Dispatcher::singleton().hasBackendFallbackForDispatchKey(c10::DispatchKey::AutocastPrivateUse1)) return;
  static auto* all =
      new torch::Library(torch::Library::IMPL, "_", c10::DispatchKey::AutocastPrivateUse1, __FILE__, __LINE__);
  all->fallback(torch::CppFunction::makeFallthrough());
}

}  // namespace bantam::emulated
