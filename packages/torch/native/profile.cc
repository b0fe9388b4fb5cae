// Counts the floating-point operations of what is called, by watching the dispatcher.
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <cstring>
#include <memory>
#include <optional>

#include "arguments.h"
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

/// Carries from a convolution's call, when its arguments are alive, to its return.
struct Convolution : at::ObserverContext {
  double per_output = 0;
};

/// Of the operators that others are made of, each is counted at the innermost call.
std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& call) {
  const char* name = call.name();
  if (std::strcmp(name, "aten::mm") == 0 || std::strcmp(name, "aten::bmm") == 0) {
    flops += product(input(call, 0), input(call, 1));
  } else if (std::strcmp(name, "aten::addmm") == 0 || std::strcmp(name, "aten::baddbmm") == 0) {
    flops += product(input(call, 1), input(call, 2));
  } else if (std::strcmp(name, "mkldnn::_linear_pointwise") == 0) {
    const auto overload = call.operator_name();
    const bool adds = overload && overload->overload_name == "binary";
    // x·Wᵀ, where that form has what it adds before W.
    const auto &x = input(call, 0), &weight = input(call, adds ? 2 : 1);
    flops += 2.0 * static_cast<double>(x.numel()) * static_cast<double>(weight.size(0));
  } else if (std::strcmp(name, "aten::convolution") == 0) {
    const auto& weight = input(call, 1);
    // The operator has not checked its arguments yet: a convolution may have no outputs.
    if (weight.numel() == 0) return nullptr;
    auto context = std::make_unique<Convolution>();
    // Each output takes one multiply-add for each weight of its channel.
    context->per_output = 2.0 * static_cast<double>(weight.numel() / weight.size(0));
    return context;
  }
  return nullptr;
}

void on_return(const at::RecordFunction& call, at::ObserverContext* context) {
  // A call that failed has no result.
  if (context == nullptr || call.outputs().empty()) return;
  flops += static_cast<Convolution*>(context)->per_output * static_cast<double>(call.outputs()[0].toTensor().numel());
}

/// startCounting(): operations of this thread count from 0.
napi_value start_counting(Call&) {
  flops = 0;
  if (!watching) {
    watching = at::addThreadLocalCallback(
        at::RecordFunctionCallback(on_call, on_return).needsInputs(true).needsOutputs(true).scopes(
            {at::RecordScope::FUNCTION}));
  }
  return nullptr;
}

/// stopCounting() → operations since startCounting()
napi_value stop_counting(Call& call) {
  if (watching) at::removeCallback(*watching);
  watching.reset();
  return Napi::Number::New(call.env, flops);
}

}  // namespace

void init_profile(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {{"startCounting", start_counting}, {"stopCounting", stop_counting}};
  add_entries(env, exports, entries);
}

}  // namespace bantam
