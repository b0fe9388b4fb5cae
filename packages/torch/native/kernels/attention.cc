// bantam::attention: multi-head attention of what the joint projection of q, k and v gives, without
// rearranging it in memory. Fast in bfloat16 on AMX and on AVX512-BF16, and without gradients in float32 on
// AVX2 and AVX-512; elsewhere composed of libtorch's operators.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "attention.h"
#include "attention_panels.h"
#include "processor.h"
#include "team.h"

namespace bantam::attention {
namespace {

at::Tensor attention_plain(const at::Tensor& qkv, int64_t heads, bool causal) {
  const int64_t batch = qkv.size(0), length = qkv.size(1), width = qkv.size(2) / 3, depth = width / heads;
  const auto parts = qkv.view({batch, length, 3, heads, depth}).permute({2, 0, 3, 1, 4}).unbind(0);
  auto scores = at::matmul(parts[0], parts[1].transpose(-2, -1)) * (1 / std::sqrt(static_cast<double>(depth)));
  if (causal) {
    const auto later = at::ones({length, length}, qkv.options().dtype(at::kBool)).triu(1);
    scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
  }
  return at::matmul(at::softmax(scores, -1), parts[2]).transpose(1, 2).reshape({batch, length, width});
}

using Pass = void (*)(const gemm::Attention&, gemm::Runner);

/// The kernel of the level, if there is one.
struct Kernel {
  Pass forward = nullptr, backward = nullptr;
};

Kernel choose() {
#ifdef BANTAM_EMULATED_AMX
  if (level() == Level::amx && limit().emulated) {
    return {gemm::emulated_amx::attention_forward, gemm::emulated_amx::attention_backward};
  }
#endif
#ifdef BANTAM_AMX
  if (level() == Level::amx) return {gemm::amx::attention_forward, gemm::amx::attention_backward};
#endif
#ifdef BANTAM_AVX512
  if (level() >= Level::avx512_bf16) return {gemm::avx512::attention_forward, gemm::avx512::attention_backward};
#endif
  return {};
}

const Kernel& kernel() {
  static const Kernel chosen = choose();
  return chosen;
}

/// Whether the kernel with gradients applies to a projection [B, L, 3·W] under so many heads.
bool applies_in_bfloat16(const at::Tensor& qkv, int64_t heads) {
  return kernel().forward != nullptr && qkv.device().is_cpu() && qkv.scalar_type() == at::kBFloat16 &&
         qkv.dim() == 3 && qkv.is_contiguous() && qkv.numel() > 0 && qkv.size(1) <= gemm::kMaxLength &&
         qkv.size(2) % (96 * heads) == 0;
}

/// Whether a fast kernel applies.
bool applies(const at::Tensor& qkv, int64_t heads) {
  TORCH_CHECK(heads >= 1, "attention has at least one head, not ", heads);
  return applies_in_bfloat16(qkv, heads) || attention_panels::applies(qkv, heads);
}

gemm::Attention describe(const at::Tensor& qkv, int64_t heads, bool causal) {
  gemm::Attention x;
  x.batch = qkv.size(0);
  x.length = qkv.size(1);
  x.heads = heads;
  x.depth = qkv.size(2) / 3 / heads;
  x.scale = 1 / std::sqrt(static_cast<float>(x.depth));
  x.causal = causal;
  x.qkv = static_cast<const uint16_t*>(qkv.const_data_ptr());
  return x;
}

/// Tasks on the calling thread.
void run_here(int64_t count, Task work, void* context) {
  for (int64_t task = 0; task < count; ++task) work(context, task);
}

/// Who runs the tasks of a pass whose two products take so many multiply-adds each.
gemm::Runner runner_for(const gemm::Attention& x) {
  constexpr int64_t kPerNanosecond = 40;
  const int64_t products = x.batch * x.heads * x.length * x.length * x.depth;
  return is_worth_dividing(2 * products / kPerNanosecond) ? run_tasks : run_here;
}

at::Tensor attention_in_bfloat16(const at::Tensor& qkv, int64_t heads, bool causal) {
  const at::Tensor out = at::detail::empty_cpu({qkv.size(0), qkv.size(1), qkv.size(2) / 3}, at::kBFloat16);
  auto x = describe(qkv, heads, causal);
  x.out = static_cast<uint16_t*>(out.mutable_data_ptr());
  kernel().forward(x, runner_for(x));
  return out;
}

struct FastAttention : torch::autograd::Function<FastAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& qkv, int64_t heads,
                            bool causal) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->saved_data["heads"] = heads;
    context->saved_data["causal"] = causal;
    context->save_for_backward({qkv});
    return attention_in_bfloat16(qkv, heads, causal);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto qkv = context->get_saved_variables()[0];
    const int64_t heads = context->saved_data["heads"].toInt();
    const bool causal = context->saved_data["causal"].toBool();
    if (at::GradMode::is_enabled()) {
      return {torch::autograd::grad({attention_plain(qkv, heads, causal)}, {qkv}, gradients, true, true)[0], {}, {}};
    }
    const auto dout = gradients[0].to(at::kBFloat16).contiguous();
    auto dqkv = at::empty_like(qkv);
    auto x = describe(qkv, heads, causal);
    x.dout = static_cast<const uint16_t*>(dout.const_data_ptr());
    x.dqkv = static_cast<uint16_t*>(dqkv.mutable_data_ptr());
    kernel().backward(x, run_tasks);
    return {dqkv, {}, {}};
  }
};

at::Tensor attention(const at::Tensor& qkv, int64_t heads, bool causal) {
  TORCH_CHECK(heads >= 1, "attention has at least one head, not ", heads);
  if (applies_in_bfloat16(qkv, heads)) {
    return at::GradMode::is_enabled() ? FastAttention::apply(qkv, heads, causal)
                                      : attention_in_bfloat16(qkv, heads, causal);
  }
  if (attention_panels::applies(qkv, heads)) return attention_panels::attention(qkv, heads, causal);
  return attention_plain(qkv, heads, causal);
}

}  // namespace
}  // namespace bantam::attention

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("attention(Tensor qkv, int heads, bool causal) -> Tensor", bantam::attention::attention);
  library.def("attention_applies(Tensor qkv, int heads) -> bool", bantam::attention::applies);
}
