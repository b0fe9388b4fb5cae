// Counters of what is alive, for tests, metrics and leak hunting.
#include <algorithm>

#include "allocator.h"
#include "arguments.h"
#include "handle.h"
#include "meta.h"

namespace bantam {
namespace {

napi_value memory_stats(Call& call) {
  const auto stats = allocator_stats();
  auto result = Napi::Object::New(call.env);
  result["liveTensors"] = static_cast<double>(live_tensors.load());
  result["liveBytes"] = static_cast<double>(stats.live_bytes);
  result["peakBytes"] = static_cast<double>(stats.peak_bytes);
  result["metaBytes"] = static_cast<double>(live_meta_bytes());
  result["cachedBytes"] = static_cast<double>(stats.cached_bytes);
  return result;
}

napi_value reset_peak_bytes(Call&) {
  reset_peak();
  return nullptr;
}

napi_value empty_cached_blocks(Call&) {
  empty_cache();
  return nullptr;
}

napi_value start_tracing(Call&) {
  start_trace();
  return nullptr;
}

napi_value stop_tracing(Call& call) {
  const auto trace = stop_trace();
  auto result = Napi::Float64Array::New(call.env, trace.size());
  std::copy(trace.begin(), trace.end(), result.Data());
  return result;
}

/// A Float64Array of bytes for each block that was taken, and −n where the n-th of them was freed.
std::vector<int64_t> trace_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw WrongType("argument " + std::to_string(at + 1) + " must be a Float64Array, not " + shown(value));
  }
  const auto array = value.As<Napi::Float64Array>();
  std::vector<int64_t> events;
  events.reserve(array.ElementLength());
  double taken = 0, bytes = 0;
  constexpr double kMostBytes = 1e18;  // sums stay below 2⁶³
  for (size_t i = 0; i < array.ElementLength(); ++i) {
    const double event = array[i];
    const bool is_block = event >= 0 && (bytes += event) <= kMostBytes;
    if (!is_block && !(event < 0 && -event <= taken)) {
      throw OutOfRange("event " + std::to_string(i) + " of the trace is " + std::to_string(event) +
                       ", neither bytes nor an earlier block");
    }
    if (is_block) ++taken;
    events.push_back(static_cast<int64_t>(event));
  }
  return events;
}

napi_value footprint_of(Call& call) {
  return Napi::Number::New(call.env, static_cast<double>(footprint(trace_at(call, 0))));
}

}  // namespace

void init_memory(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"memoryStats", memory_stats},
      {"resetPeakBytes", reset_peak_bytes},
      {"emptyCache", empty_cached_blocks},
      {"startTrace", start_tracing},
      {"stopTrace", stop_tracing},
      {"footprint", footprint_of},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
