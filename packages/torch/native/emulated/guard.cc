// The device's current index, streams and events for each thread, its random generators, and memory of the
// host that is pinned to it.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <array>
#include <thread>
#include <utility>

#include "emulated.h"

namespace bantam::emulated {
namespace {

using Clock = std::chrono::steady_clock;

thread_local c10::DeviceIndex current_device = 0;
thread_local std::array<c10::StreamId, kDevices> current_streams{};

struct Event {
  Clock::time_point done;
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }

  c10::Device exchangeDevice(c10::Device device) const override {
    const auto before = getDevice();
    setDevice(device);
    return before;
  }

  c10::Device getDevice() const override { return {kType, current_device}; }

  void setDevice(c10::Device device) const override {
    if (device.has_index()) {
      TORCH_CHECK(device.index() < kDevices, "there is no device ", device, ", only emulated:0 and emulated:1");
    }
    uncheckedSetDevice(device);
  }

  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.has_index()) current_device = device.index();
  }

  c10::Stream getStream(c10::Device device) const override {
    const auto index = device.has_index() ? device.index() : current_device;
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, index), current_streams[index]);
  }

  c10::Stream getDefaultStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kType, device.has_index() ? device.index() : current_device));
  }

  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getNewStream(device, 0); }

  c10::Stream getNewStream(c10::Device device, int) const override {
    static std::atomic<c10::StreamId> next{1};
    const auto index = device.has_index() ? device.index() : current_device;
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, index), next++);
  }

  c10::Stream exchangeStream(c10::Stream stream) const override {
    const auto before = getStream(stream.device());
    current_streams[stream.device_index()] = stream.id();
    return before;
  }

  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }

  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    if (*event == nullptr) *event = new Event;
    static_cast<Event*>(*event)->done = Clock::now() + std::chrono::milliseconds(latency_milliseconds().load());
  }

  void block(void*, const c10::Stream&) const override {}

  bool queryEvent(void* event) const override {
    const bool done = event == nullptr || Clock::now() >= static_cast<Event*>(event)->done;
    if (done) finish_copies();
    return done;
  }

  void synchronizeEvent(void* event) const override {
    if (event != nullptr) std::this_thread::sleep_until(static_cast<Event*>(event)->done);
    finish_copies();
  }

  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<Event*>(event); }

  bool queryStream(const c10::Stream&) const override { return true; }

  void synchronizeStream(const c10::Stream&) const override { synchronizeDevice(current_device); }

  void synchronizeDevice(const c10::DeviceIndex) const override {
    ++counters().synchronizations;
    finish_copies();
  }
};

/// A stream of random numbers that belongs to the device: operators on its tensors take no other.
class DeviceGenerator final : public c10::GeneratorImpl {
 public:
  DeviceGenerator(c10::DeviceIndex device, at::Generator numbers)
      : GeneratorImpl(c10::Device(kType, device), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        numbers_(std::move(numbers)) {}

  const at::Generator& numbers() const { return numbers_; }

  void set_current_seed(uint64_t seed) override { numbers_.set_current_seed(seed); }
  void set_offset(uint64_t offset) override { numbers_.set_offset(offset); }
  uint64_t get_offset() const override { return numbers_.get_offset(); }
  uint64_t current_seed() const override { return numbers_.current_seed(); }
  uint64_t seed() override { return numbers_.seed(); }
  void set_state(const c10::TensorImpl& state) override { numbers_.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return numbers_.unsafeGetGeneratorImpl()->get_state();
  }

 private:
  DeviceGenerator* clone_impl() const override { return new DeviceGenerator(device().index(), numbers_.clone()); }

  at::Generator numbers_;
};

at::Generator new_generator(c10::DeviceIndex device) {
  return at::make_generator<DeviceGenerator>(device < 0 ? current_device : device,
                                             at::make_generator<at::CPUGeneratorImpl>(0));
}

/// Memory of the host from which copies need not wait; it knows its own addresses.
class PinnedMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = std::malloc(std::max(bytes, size_t{1}));
    if (data == nullptr) throw std::bad_alloc();
    std::lock_guard lock(mutex_);
    blocks_[data] = bytes;
    return {data, data, &release, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  bool holds(const void* address) {
    std::lock_guard lock(mutex_);
    auto after = blocks_.upper_bound(const_cast<void*>(address));
    if (after == blocks_.begin()) return false;
    const auto& [start, bytes] = *--after;
    return address < static_cast<const char*>(start) + bytes;
  }

 private:
  static void release(void* data);

  std::mutex mutex_;
  std::map<void*, size_t> blocks_;
};

PinnedMemory& pinned_memory() {
  static auto* instance = new PinnedMemory();
  return *instance;
}

void PinnedMemory::release(void* data) {
  auto& self = pinned_memory();
  {
    std::lock_guard lock(self.mutex_);
    self.blocks_.erase(data);
  }
  std::free(data);
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  void setCurrentDevice(c10::DeviceIndex device) const override { current_device = device; }
  c10::DeviceIndex getCurrentDevice() const override { return current_device; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override { return std::exchange(current_device, device); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override { return exchangeDevice(device); }
  c10::Device getDeviceFromPtr(void*) const override { return {kType, current_device}; }
  bool isPinnedPtr(const void* data) const override { return pinned_memory().holds(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory(); }

  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    static const std::array<at::Generator, kDevices> generators{new_generator(0), new_generator(1)};
    return generators[device < 0 ? current_device : device];
  }

  at::Generator getNewGenerator(c10::DeviceIndex device) const override { return new_generator(device); }
};

}  // namespace

at::Generator host_generator(const at::Generator& generator) {
  auto* own = dynamic_cast<DeviceGenerator*>(generator.unsafeGetGeneratorImpl());
  TORCH_CHECK(own != nullptr, "Expected a '", kName, "' device type for generator but found '",
              generator.device().type(), "'");
  return own->numbers();
}

void install_guard() { c10::impl::registerDeviceGuard(kType, new Guard()); }

void install_hooks() { at::RegisterPrivateUse1HooksInterface(new Hooks()); }

}  // namespace bantam::emulated
