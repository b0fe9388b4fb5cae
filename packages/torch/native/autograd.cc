// Gradients and autocast: the parts of autograd that are not operators.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "handle.h"

namespace bantam {
namespace {

/// backward(outputs, gradients | [], retainGraph): adds to the leaves' gradients.
Napi::Value backward(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "backward", [&]() -> Napi::Value {
    torch::autograd::backward(unwrap_list(info[0]), unwrap_list(info[1]), info[2].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

/// grad(outputs, inputs, gradients | [], retainGraph, createGraph) → the inputs' gradients or null.
Napi::Value grad(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  return guarded(env, "grad", [&]() -> Napi::Value {
    auto gradients = torch::autograd::grad(unwrap_list(info[0]), unwrap_list(info[1]), unwrap_list(info[2]),
                                           info[3].As<Napi::Boolean>().Value(),
                                           info[4].As<Napi::Boolean>().Value(), /*allow_unused=*/true);
    auto result = Napi::Array::New(env, gradients.size());
    for (uint32_t i = 0; i < gradients.size(); ++i) result[i] = wrap_tensor(env, std::move(gradients[i]));
    return result;
  });
}

Napi::Value get_grad(const Napi::CallbackInfo& info) {
  return wrap_tensor(info.Env(), unwrap_tensor(info[0]).grad());
}

/// setGrad(tensor, gradient | null)
Napi::Value set_grad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "setGrad", [&]() -> Napi::Value {
    unwrap_tensor(info[0]).mutable_grad() = info[1].IsNull() ? at::Tensor() : unwrap_tensor(info[1]);
    return info.Env().Undefined();
  });
}

Napi::Value requires_grad(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), unwrap_tensor(info[0]).requires_grad());
}

Napi::Value set_requires_grad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "requiresGrad", [&]() -> Napi::Value {
    unwrap_tensor(info[0]).set_requires_grad(info[1].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

Napi::Value is_leaf(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), unwrap_tensor(info[0]).is_leaf());
}

/// setGradMode(enabled) → what it was.
Napi::Value set_grad_mode(const Napi::CallbackInfo& info) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(info[0].As<Napi::Boolean>().Value());
  return Napi::Boolean::New(info.Env(), before);
}

/// setAutocast(device type, dtype | null) → the dtype that was in force, or null.
Napi::Value set_autocast(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  return guarded(env, "autocast", [&]() -> Napi::Value {
    const auto device = c10::Device(info[0].As<Napi::String>().Utf8Value()).type();
    Napi::Value before = env.Null();
    if (at::autocast::is_autocast_enabled(device)) {
      before = Napi::Number::New(env, static_cast<int>(at::autocast::get_autocast_dtype(device)));
    }
    const bool enable = !info[1].IsNull();
    at::autocast::set_autocast_enabled(device, enable);
    if (enable) {
      at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(info[1].As<Napi::Number>().Int32Value()));
    }
    // Cast weights are kept while autocast stays on; leaving it drops them, as they may change.
    if (!enable) at::autocast::clear_cache();
    return before;
  });
}

}  // namespace

void init_autograd(Napi::Env env, Napi::Object exports) {
  exports["backward"] = Napi::Function::New(env, backward);
  exports["grad"] = Napi::Function::New(env, grad);
  exports["getGrad"] = Napi::Function::New(env, get_grad);
  exports["setGrad"] = Napi::Function::New(env, set_grad);
  exports["requiresGrad"] = Napi::Function::New(env, requires_grad);
  exports["setRequiresGrad"] = Napi::Function::New(env, set_requires_grad);
  exports["isLeaf"] = Napi::Function::New(env, is_leaf);
  exports["setGradMode"] = Napi::Function::New(env, set_grad_mode);
  exports["setAutocast"] = Napi::Function::New(env, set_autocast);
}

}  // namespace bantam
