// The emulated device "emulated:0" and "emulated:1", for tests alone (the npm package leaves this folder
// out): libtorch's PrivateUse1 with memory that the CPU cannot read by mistake, the CPU's kernels behind
// every operator, and the refusals of a GPU. It counts what would cost time on one.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceType.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace torch {
class Library;
}

namespace bantam::emulated {

constexpr auto kType = c10::DeviceType::PrivateUse1;
constexpr auto kName = "emulated";
constexpr c10::DeviceIndex kDevices = 2;

/// Everything since the last reset.
struct Counters {
  /// Operators that ran.
  std::atomic<int64_t> operators{0};
  /// Copies from and to the host.
  std::atomic<int64_t> copies_in{0}, copies_out{0};
  /// Times that the calling thread would have waited for the device.
  std::atomic<int64_t> synchronizations{0};
};
Counters& counters();

/// Time from an event's recording to its end, for tests of waiting.
std::atomic<int64_t>& latency_milliseconds();

/// Where the bytes of device memory really are.
void* host_address(const void* device_address);

/// A CPU tensor over the same memory.
at::Tensor host_view(const at::Tensor& tensor);

/// Device memory with the elements of a CPU tensor.
at::Tensor to_device(const at::Tensor& tensor, c10::Device device);

/// The stream of CPU numbers within a generator of the device.
at::Generator host_generator(const at::Generator& generator);

/// Makes the copies to the host that nobody has waited for yet.
void finish_copies();

void install_memory();
void install_guard();
void install_hooks();
void install_operators(torch::Library& aten);
void install_autocast(torch::Library& aten);

}  // namespace bantam::emulated
