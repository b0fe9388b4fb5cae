// Device memory. Its addresses are those of host memory with a bit set that no address of the CPU has, so
// that a kernel of the CPU which is handed one faults at once, as it would with a GPU's.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "emulated.h"

namespace bantam::emulated {
namespace {

constexpr uintptr_t kDeviceBit = uintptr_t{1} << 53;
constexpr size_t kAlignment = 64;
/// What a device seems to have.
constexpr size_t kTotalBytes = size_t{4} << 30;

using c10::CachingDeviceAllocator::DeviceStats;

struct Block {
  void* data;
  size_t bytes;
  c10::DeviceIndex device;
};

class Memory final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const auto device = c10::impl::getDeviceGuardImpl(kType)->getDevice().index();
    {
      std::lock_guard lock(mutex_);
      if (current(device) + bytes > kTotalBytes) {
        TORCH_CHECK_WITH(OutOfMemoryError, false, "emulated out of memory: ", bytes, " bytes were asked for");
      }
      for (auto* stat : of(device)) (*stat)[0].increase(bytes);
    }
    const size_t whole = (std::max(bytes, size_t{1}) + kAlignment - 1) / kAlignment * kAlignment;
    void* data = std::aligned_alloc(kAlignment, whole);
    if (data == nullptr) throw std::bad_alloc();
    std::memset(data, 0xff, whole);  // NaN: whoever reads what nobody wrote shall see it
    auto* block = new Block{data, bytes, device};
    void* address = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(data) | kDeviceBit);
    return {address, block, &release, c10::Device(kType, device)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(host_address(to), host_address(from), bytes);
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}

  DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    return stats_[device];
  }

  void resetAccumulatedStats(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    for (auto* stat : of(device)) (*stat)[0].reset_accumulated();
  }

  void resetPeakStats(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    for (auto* stat : of(device)) (*stat)[0].reset_peak();
  }

  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    return {kTotalBytes - current(device), kTotalBytes};
  }

 private:
  static void release(void* context);

  void free(Block* block) {
    {
      std::lock_guard lock(mutex_);
      for (auto* stat : of(block->device)) (*stat)[0].decrease(block->bytes);
    }
    std::free(block->data);
    delete block;
  }

  std::array<c10::CachingDeviceAllocator::StatArray*, 3> of(c10::DeviceIndex device) {
    auto& stats = stats_[device];
    return {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes};
  }

  size_t current(c10::DeviceIndex device) const {
    return static_cast<size_t>(stats_[device].allocated_bytes[0].current);
  }

  std::mutex mutex_;
  std::array<DeviceStats, kDevices> stats_;
};

/// Never destroyed: tensors may outlive everything else.
Memory& memory() {
  static auto* instance = new Memory();
  return *instance;
}

void Memory::release(void* context) { memory().free(static_cast<Block*>(context)); }

}  // namespace

Counters& counters() {
  static Counters instance;
  return instance;
}

std::atomic<int64_t>& latency_milliseconds() {
  static std::atomic<int64_t> value{0};
  return value;
}

void* host_address(const void* device_address) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(device_address) & ~kDeviceBit);
}

at::Tensor host_view(const at::Tensor& tensor) {
  return at::from_blob(host_address(tensor.mutable_data_ptr()), tensor.sizes(), tensor.strides(),
                       at::TensorOptions(tensor.scalar_type()));
}

at::Tensor to_device(const at::Tensor& tensor, c10::Device device) {
  const auto dense = tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous();
  const c10::DeviceGuard guard(device);
  at::Tensor copy = at::detail::empty_strided_generic(dense.sizes(), dense.strides(), &memory(),
                                                      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                      dense.scalar_type());
  if (dense.nbytes() > 0) std::memcpy(host_address(copy.mutable_data_ptr()), dense.const_data_ptr(), dense.nbytes());
  return copy;
}

void install_memory() { c10::SetAllocator(kType, &memory()); }

}  // namespace bantam::emulated
