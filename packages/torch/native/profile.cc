// Counts the floating-point operations of what is called, by watching the dispatcher.
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <cstring>

#include "handle.h"

namespace bantam {
namespace {

thread_local double flops = 0;
thread_local std::optional<at::CallbackHandle> watching;

const at::Tensor& input(const at::RecordFunction& call, size_t place) { return call.inputs()[place].toTensor(); }

/// [*, i, k] · [*, k, j]: 2·i·k·j for each product of the batch
double product(const at::Tensor& a, const at::Tensor& b) {
  return 2.0 * static_cast<double>(a.numel()) * static_cast<double>(b.size(-1));
}

/// Of the operators that others are made of, each is counted at the innermost call.
std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& call) {
  const char* name = call.name();
  if (std::strcmp(name, "aten::mm") == 0 || std::strcmp(name, "aten::bmm") == 0) {
    flops += product(input(call, 0), input(call, 1));
  } else if (std::strcmp(name, "aten::addmm") == 0 || std::strcmp(name, "aten::baddbmm") == 0) {
    flops += product(input(call, 1), input(call, 2));
  }
  return nullptr;
}

void on_return(const at::RecordFunction& call, at::ObserverContext*) {
  if (std::strcmp(call.name(), "aten::convolution") != 0) return;
  const auto& result = call.outputs()[0].toTensor();
  const auto& weight = input(call, 1);
  // Each output takes one multiply-add for each weight of its channel.
  flops += 2.0 * static_cast<double>(result.numel()) * static_cast<double>(weight.numel() / weight.size(0));
}

/// startCounting(): operations of this thread count from 0.
Napi::Value start_counting(const Napi::CallbackInfo& info) {
  flops = 0;
  if (!watching) {
    watching = at::addThreadLocalCallback(
        at::RecordFunctionCallback(on_call, on_return).needsInputs(true).needsOutputs(true).scopes(
            {at::RecordScope::FUNCTION}));
  }
  return info.Env().Undefined();
}

/// stopCounting() → operations since startCounting()
Napi::Value stop_counting(const Napi::CallbackInfo& info) {
  if (watching) at::removeCallback(*watching);
  watching.reset();
  return Napi::Number::New(info.Env(), flops);
}

}  // namespace

void init_profile(Napi::Env env, Napi::Object exports) {
  exports["startCounting"] = Napi::Function::New(env, start_counting);
  exports["stopCounting"] = Napi::Function::New(env, stop_counting);
}

}  // namespace bantam
