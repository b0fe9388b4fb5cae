// Counters of what is alive, for tests, metrics and leak hunting.
#include <algorithm>

#include "allocator.h"
#include "handle.h"
#include "meta.h"

namespace bantam {
namespace {

Napi::Value memory_stats(const Napi::CallbackInfo& info) {
  const auto stats = allocator_stats();
  auto result = Napi::Object::New(info.Env());
  result["liveTensors"] = static_cast<double>(live_tensors.load());
  result["liveBytes"] = static_cast<double>(stats.live_bytes);
  result["peakBytes"] = static_cast<double>(stats.peak_bytes);
  result["metaBytes"] = static_cast<double>(live_meta_bytes());
  result["cachedBytes"] = static_cast<double>(stats.cached_bytes);
  return result;
}

Napi::Value reset_peak_bytes(const Napi::CallbackInfo& info) {
  reset_peak();
  return info.Env().Undefined();
}

Napi::Value empty_cached_blocks(const Napi::CallbackInfo& info) {
  empty_cache();
  return info.Env().Undefined();
}

Napi::Value start_tracing(const Napi::CallbackInfo& info) {
  start_trace();
  return info.Env().Undefined();
}

Napi::Value stop_tracing(const Napi::CallbackInfo& info) {
  const auto trace = stop_trace();
  auto result = Napi::Float64Array::New(info.Env(), trace.size());
  std::copy(trace.begin(), trace.end(), result.Data());
  return result;
}

Napi::Value footprint_of(const Napi::CallbackInfo& info) {
  const auto trace = info[0].As<Napi::Float64Array>();
  const std::vector<int64_t> events(trace.Data(), trace.Data() + trace.ElementLength());
  return Napi::Number::New(info.Env(), static_cast<double>(footprint(events)));
}

}  // namespace

void init_memory(Napi::Env env, Napi::Object exports) {
  exports["memoryStats"] = Napi::Function::New(env, memory_stats);
  exports["resetPeakBytes"] = Napi::Function::New(env, reset_peak_bytes);
  exports["emptyCache"] = Napi::Function::New(env, empty_cached_blocks);
  exports["startTrace"] = Napi::Function::New(env, start_tracing);
  exports["stopTrace"] = Napi::Function::New(env, stop_tracing);
  exports["footprint"] = Napi::Function::New(env, footprint_of);
}

}  // namespace bantam
