// Registration of the emulated device, at its first use: until then libtorch does not know of it.
#include <ATen/ATen.h>
#include <c10/core/DeviceType.h>
#include <torch/library.h>

#include <mutex>

#include "../arguments.h"
#include "../device.h"
#include "emulated.h"

namespace bantam {

void install_emulated_device() {
  static std::once_flag once;
  std::call_once(once, [] {
    using namespace emulated;
    c10::register_privateuse1_backend(kName);
    install_memory();
    install_guard();
    install_hooks();
    static auto* aten =
        new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
    install_operators(*aten);
    static auto* autocast =
        new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::AutocastPrivateUse1, __FILE__, __LINE__);
    install_autocast(*autocast);
  });
}

namespace {

/// emulatedCounters(reset) → what happened since the last reset
napi_value emulated_counters(Call& call) {
  auto& counters = emulated::counters();
  auto result = Napi::Object::New(call.env);
  const auto show = [&](const char* name, std::atomic<int64_t>& counter) {
    result[name] = static_cast<double>(counter.load());
  };
  show("operators", counters.operators);
  show("copiesIn", counters.copies_in);
  show("copiesOut", counters.copies_out);
  show("synchronizations", counters.synchronizations);
  if (boolean_at(call, 0)) {
    for (auto* counter :
         {&counters.operators, &counters.copies_in, &counters.copies_out, &counters.synchronizations}) {
      *counter = 0;
    }
  }
  return result;
}

/// setEmulatedLatency(milliseconds from an event's recording to its end)
napi_value set_emulated_latency(Call& call) {
  emulated::latency_milliseconds() = integer_at(call, 0, 0, 60'000);
  return nullptr;
}

}  // namespace

void init_emulated_device(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"emulatedCounters", emulated_counters},
      {"setEmulatedLatency", set_emulated_latency},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
