// Devices beside the CPU, all through libtorch's device-neutral interface: which there are, their memory,
// and waiting for them without holding JavaScript up.
#include "device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "arguments.h"
#include "handle.h"
#include "nvidia.h"

namespace bantam {
namespace {

c10::Device device_at(const Call& call, size_t at) { return c10::Device(string_at(call, at)); }

/// A device of an accelerator, with its index.
c10::Device accelerator_at(const Call& call, size_t at) {
  const auto device = device_at(call, at);
  const auto found = at::accelerator::getAccelerator();
  if (!found || *found != device.type()) {
    throw std::runtime_error("there is no " + device.str() + " that could be asked");
  }
  return device.has_index() ? device : c10::Device(device.type(), at::accelerator::getDeviceIndex());
}

/// loadDevice(type) → why devices of that type cannot be used here, or null.
napi_value load_device(Call& call) {
  const auto type = string_at(call, 0);
  std::string problem;
  if (type == "cuda") {
    problem = load_cuda_library();
    if (problem.empty() && !at::hasCUDA()) problem = "libtorch finds no CUDA device";
  } else if (type == "mps") {
    if (!at::hasMPS()) problem = "mps is for Macs with Apple silicon";
  } else if (type == "emulated") {
#ifdef BANTAM_EMULATED_DEVICE
    install_emulated_device();
#else
    problem = "only a checkout of Bantam has it, for tests";
#endif
  } else {
    problem = "Bantam does not know it";
  }
  if (problem.empty()) {
    at::globalContext().lazyInitDevice(c10::Device(type).type());
    return Napi::Env(call.env).Null();
  }
  return Napi::String::New(call.env, problem);
}

/// deviceCount(type) → devices of a loaded type
napi_value device_count(Call& call) {
  const auto type = device_at(call, 0).type();
  const bool there = c10::impl::hasDeviceGuardImpl(type);
  return Napi::Number::New(call.env, there ? c10::impl::getDeviceGuardImpl(type)->deviceCount() : 0);
}

/// deviceMemory(device) → { free, total, allocated, peak, reserved } in bytes
napi_value device_memory(Call& call) {
  const auto index = accelerator_at(call, 0).index();
  const auto [free, total] = at::accelerator::getMemoryInfo(index);
  const auto stats = at::accelerator::getDeviceStats(index);
  auto result = Napi::Object::New(call.env);
  result["free"] = static_cast<double>(free);
  result["total"] = static_cast<double>(total);
  result["allocated"] = static_cast<double>(stats.allocated_bytes[0].current);
  result["peak"] = static_cast<double>(stats.allocated_bytes[0].peak);
  result["reserved"] = static_cast<double>(stats.reserved_bytes[0].current);
  return result;
}

napi_value reset_device_peak(Call& call) {
  at::accelerator::resetPeakStats(accelerator_at(call, 0).index());
  return nullptr;
}

napi_value empty_device_cache(Call& call) {
  accelerator_at(call, 0);
  at::accelerator::emptyCache();
  return nullptr;
}

/// A wait for an event on one of libuv's threads; a tensor of the host is handed over at its end.
struct Wait {
  c10::Event event;
  at::Tensor host;
  std::string failure;
  napi_async_work work = nullptr;
  napi_deferred promise = nullptr;
};

void wait_elsewhere(napi_env, void* data) {
  auto& wait = *static_cast<Wait*>(data);
  try {
    wait.event.synchronize();
  } catch (const std::exception& error) {
    wait.failure = error.what();
  }
}

void finish_wait(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Wait> wait(static_cast<Wait*>(data));
  napi_delete_async_work(env, wait->work);
  napi_value result = nullptr;
  if (!wait->failure.empty() || status != napi_ok) {
    const auto text = "the device failed: " + (wait->failure.empty() ? "cancelled" : wait->failure);
    napi_value message = nullptr;
    if (napi_create_string_utf8(env, text.c_str(), text.size(), &message) != napi_ok ||
        napi_create_error(env, nullptr, message, &result) != napi_ok) {
      return;
    }
    napi_reject_deferred(env, wait->promise, result);
    return;
  }
  if (wait->host.defined()) {
    void* bytes = nullptr;
    if (napi_create_arraybuffer(env, wait->host.nbytes(), &bytes, &result) != napi_ok) return;
    if (wait->host.nbytes() > 0) std::memcpy(bytes, wait->host.const_data_ptr(), wait->host.nbytes());
  } else {
    napi_get_undefined(env, &result);
  }
  napi_resolve_deferred(env, wait->promise, result);
}

/// A promise for the end of all that this thread has given the device so far.
napi_value wait_for(Call& call, c10::Device device, at::Tensor host) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  auto wait = std::make_unique<Wait>(Wait{c10::Event(device.type()), std::move(host), {}});
  wait->event.record(guard.getStream(device));
  napi_value promise = nullptr, name = nullptr;
  const bool started =
      napi_create_string_utf8(call.env, "bantam:device", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_promise(call.env, &wait->promise, &promise) == napi_ok &&
      napi_create_async_work(call.env, nullptr, name, wait_elsewhere, finish_wait, wait.get(), &wait->work) == napi_ok &&
      napi_queue_async_work(call.env, wait->work) == napi_ok;
  if (!started) throw std::runtime_error("the wait for a device could not start");
  wait.release();  // now the work's
  return promise;
}

/// afterDevice(device) → a promise that is kept when the device has done all that it was given
napi_value after_device(Call& call) { return wait_for(call, accelerator_at(call, 0), {}); }

/// readLater(tensor) → a promise of an ArrayBuffer with the elements in row-major order
napi_value read_later(Call& call) {
  const auto tensor = tensor_at(call, 0).detach();
  const auto device = tensor.device();
  auto host = at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(takes_pinned_memory(device)));
  host.copy_(tensor, /*non_blocking=*/true);
  return wait_for(call, device, std::move(host));
}

}  // namespace

bool takes_pinned_memory(c10::Device device) {
  return device.type() == c10::DeviceType::CUDA || device.type() == c10::DeviceType::PrivateUse1;
}

void init_device(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"loadDevice", load_device},
      {"deviceCount", device_count},
      {"deviceMemory", device_memory},
      {"resetDevicePeak", reset_device_peak},
      {"emptyDeviceCache", empty_device_cache},
      {"afterDevice", after_device},
      {"readLater", read_later},
  };
  add_entries(env, exports, entries);
#ifdef BANTAM_EMULATED_DEVICE
  init_emulated_device(env, exports);
#endif
}

}  // namespace bantam
