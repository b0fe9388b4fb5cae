// Gradients and autocast: the parts of autograd that are not operators.
#include <ATen/autocast_mode.h>
#include <c10/core/AutogradState.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>

#include "arguments.h"
#include "handle.h"

namespace bantam {
namespace {

/// Backward passes run on the thread that asks for them, for any device: checkpoints call JavaScript in
/// them, and one thread hands a device its work as fast as two.
class OnThisThread {
 public:
  OnThisThread() { state().set_multithreading_enabled(false); }
  ~OnThisThread() { state().set_multithreading_enabled(before_); }

 private:
  static c10::AutogradState& state() { return c10::AutogradState::get_tls_state(); }

  const bool before_ = state().get_multithreading_enabled();
};

/// backward(outputs, gradients | [], retainGraph): adds to the leaves' gradients.
napi_value backward(Call& call) {
  const OnThisThread here;
  torch::autograd::backward(tensors_at(call, 0), optional_tensors_at(call, 1), boolean_at(call, 2));
  return nullptr;
}

/// grad(outputs, inputs, gradients | [], retainGraph, createGraph) → the inputs' gradients or null.
napi_value grad(Call& call) {
  const OnThisThread here;
  auto gradients =
      torch::autograd::grad(tensors_at(call, 0), tensors_at(call, 1), optional_tensors_at(call, 2),
                            boolean_at(call, 3), boolean_at(call, 4), /*allow_unused=*/true);
  auto result = Napi::Array::New(call.env, gradients.size());
  for (uint32_t i = 0; i < gradients.size(); ++i) result[i] = wrap_tensor(call.env, std::move(gradients[i]));
  return result;
}

napi_value get_grad(Call& call) { return wrap_tensor(call.env, tensor_at(call, 0).grad()); }

/// setGrad(tensor, gradient | null)
napi_value set_grad(Call& call) {
  tensor_at(call, 0).mutable_grad() = value_at(call, 1).IsNull() ? at::Tensor() : tensor_at(call, 1);
  return nullptr;
}

napi_value requires_grad(Call& call) { return Napi::Boolean::New(call.env, tensor_at(call, 0).requires_grad()); }

napi_value set_requires_grad(Call& call) {
  tensor_at(call, 0).set_requires_grad(boolean_at(call, 1));
  return nullptr;
}

napi_value is_leaf(Call& call) { return Napi::Boolean::New(call.env, tensor_at(call, 0).is_leaf()); }

/// Says in a backward pass that a leaf's gradient is complete.
class GradientHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  GradientHook(std::shared_ptr<Napi::FunctionReference> then, uint32_t index) : then_(std::move(then)), index_(index) {}

  void operator()(const at::Tensor&) override {
    const auto env = then_->Env();
    const Napi::HandleScope handles(env);
    then_->Call({Napi::Number::New(env, index_)});
  }

 private:
  std::shared_ptr<Napi::FunctionReference> then_;
  uint32_t index_;
};

/// onGradients(leaves, then | null): calls `then` with a leaf's index whenever its gradient is complete in a backward
/// pass, and no more with null.
napi_value on_gradients(Call& call) {
  const auto leaves = tensors_at(call, 0);
  std::shared_ptr<Napi::FunctionReference> then;
  if (!value_at(call, 1).IsNull()) {
    then = std::make_shared<Napi::FunctionReference>(Napi::Persistent(function_at(call, 1)));
  }
  for (uint32_t i = 0; i < leaves.size(); ++i) {
    TORCH_CHECK(leaves[i].is_leaf() && leaves[i].requires_grad(), "only leaves that require gradients have hooks");
  }
  for (uint32_t i = 0; i < leaves.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        leaves[i], then ? std::make_unique<GradientHook>(then, i) : std::unique_ptr<GradientHook>());
  }
  return nullptr;
}

/// setGradMode(enabled) → what it was.
napi_value set_grad_mode(Call& call) {
  const bool enabled = boolean_at(call, 0), before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(enabled);
  return Napi::Boolean::New(call.env, before);
}

/// setAutocast(device type, dtype | null) → the dtype that was in force, or null.
napi_value set_autocast(Call& call) {
  const auto device = c10::Device(string_at(call, 0)).type();
  const bool enable = !value_at(call, 1).IsNull();
  const auto dtype = enable ? dtype_at(call, 1) : at::kFloat;
  Napi::Value before = Napi::Env(call.env).Null();
  if (at::autocast::is_autocast_enabled(device)) {
    before = Napi::Number::New(call.env, static_cast<int>(at::autocast::get_autocast_dtype(device)));
  }
  at::autocast::set_autocast_enabled(device, enable);
  if (enable) at::autocast::set_autocast_dtype(device, dtype);
  // Cast weights are kept while autocast stays on; leaving it drops them, as they may change.
  if (!enable) at::autocast::clear_cache();
  return before;
}

}  // namespace

void init_autograd(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"backward", backward},          {"grad", grad},
      {"getGrad", get_grad},           {"setGrad", set_grad},
      {"requiresGrad", requires_grad}, {"setRequiresGrad", set_requires_grad},
      {"isLeaf", is_leaf},             {"onGradients", on_gradients},
      {"setGradMode", set_grad_mode},  {"setAutocast", set_autocast},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
