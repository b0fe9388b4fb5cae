#pragma once

#include <c10/core/Device.h>
#include <node_api.h>

namespace bantam {

/// True for memory of the host from which this device copies without waiting.
bool takes_pinned_memory(c10::Device device);

#ifdef BANTAM_EMULATED_DEVICE
/// Registers the device "emulated" with libtorch (native/emulated).
void install_emulated_device();
void init_emulated_device(napi_env env, napi_value exports);
#endif

}  // namespace bantam
