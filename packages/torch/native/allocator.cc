#include "allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bantam {
namespace {

constexpr size_t kHeader = 64;             // keeps the data on a cache line of its own
constexpr size_t kLarge = size_t{1} << 20;  // blocks from here on are cached
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMost = size_t{1} << 62;  // no computer has more, and sums with it do not overflow

/// Precedes each block's data.
struct Header {
  size_t requested;
  size_t block;  // the whole block, header included
};

/// Rounds up to a quarter of the power of two below, so that few distinct sizes occur.
size_t size_class(size_t bytes) {
  size_t power = kLarge;
  while (power * 2 <= bytes) power *= 2;
  const size_t step = power / 4;
  return (bytes + step - 1) / step * step;
}

/// Under AddressSanitizer, makes every use of these bytes an error, or allows it again: a block is more
/// than what was asked for, and lives on in the cache.
void set_usable([[maybe_unused]] char* data, [[maybe_unused]] size_t bytes, [[maybe_unused]] bool usable) {
#ifdef __SANITIZE_ADDRESS__
  if (usable) {
    __asan_unpoison_memory_region(data, bytes);
  } else {
    __asan_poison_memory_region(data, bytes);
  }
#endif
}

/// Records what is handed out and what of it is given back, for the threads of the whole process.
class Trace {
 public:
  /// Read before every block, without the lock.
  bool is_running() const { return running_.load(std::memory_order_relaxed); }

  void start() {
    std::lock_guard lock(mutex_);
    events_.clear();
    live_.clear();
    taken_ = 0;
    running_ = true;
  }

  std::vector<int64_t> stop() {
    std::lock_guard lock(mutex_);
    running_ = false;
    live_.clear();
    return std::exchange(events_, {});
  }

  void take(const char* base, size_t bytes) {
    std::lock_guard lock(mutex_);
    if (!running_) return;
    events_.push_back(static_cast<int64_t>(bytes));
    live_[base] = ++taken_;
  }

  /// Before the block is freed: another thread may get its address at once.
  void give(const char* base) {
    std::lock_guard lock(mutex_);
    const auto found = live_.find(base);
    if (found == live_.end()) return;
    events_.push_back(-found->second);
    live_.erase(found);
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> running_{false};
  std::vector<int64_t> events_;
  std::unordered_map<const char*, int64_t> live_;  // which of the recorded blocks it is
  int64_t taken_ = 0;
};

/// A training step asks for the same large buffers each time. Giving them back to the system costs
/// a page fault for every page of every step, so they are kept by size, on huge pages where there are any.
///
/// The lock is over the cache alone: small blocks, which are most, take none, and nobody waits for
/// another thread's system calls.
class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    void* data = take(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* target, const void* source, std::size_t count) const override {
    std::memcpy(target, source, count);
  }

  AllocatorStats stats() const { return {live_bytes_.load(), peak_bytes_.load(), cached_bytes_.load()}; }

  void reset_peak() { peak_bytes_ = live_bytes_.load(); }

  void empty() {
    drop_cache();
#ifdef __GLIBC__
    malloc_trim(0);  // small blocks that were freed, too
#endif
  }

  Trace trace;

 private:
  void* take(size_t bytes) {
    TORCH_CHECK(bytes <= kMost, "out of memory: no computer has ", bytes, " bytes for a tensor");
    size_t block = bytes + kHeader;
    char* base = nullptr;
    if (block >= kLarge) {
      block = size_class(block);
      base = from_cache(block);
    }
    if (base == nullptr) base = request(block);
    *reinterpret_cast<Header*>(base) = {bytes, block};
    set_usable(base + kHeader, bytes, true);
    set_usable(base + kHeader + bytes, block - kHeader - bytes, false);
    if (trace.is_running()) trace.take(base, bytes);
    count(static_cast<int64_t>(bytes));
    return base + kHeader;
  }

  void count(int64_t bytes) {
    const int64_t live = live_bytes_ += bytes;
    int64_t peak = peak_bytes_.load();
    while (peak < live && !peak_bytes_.compare_exchange_weak(peak, live)) {
    }
  }

  char* from_cache(size_t block) {
    std::lock_guard lock(mutex_);
    const auto found = free_.find(block);
    if (found == free_.end() || found->second.empty()) return nullptr;
    char* base = found->second.back();
    found->second.pop_back();
    cached_bytes_ -= static_cast<int64_t>(block);
    return base;
  }

  char* request(size_t block) {
    void* base = try_request(block);
    if (base == nullptr) {
      drop_cache();
      base = try_request(block);
    }
    TORCH_CHECK(base != nullptr, "out of memory: could not get ", block, " bytes for a tensor");
    return static_cast<char*>(base);
  }

  static void* try_request(size_t block) {
    void* base = nullptr;
    const size_t alignment = block >= kHugePage ? kHugePage : kHeader;
    if (posix_memalign(&base, alignment, block) != 0) return nullptr;
#ifdef __linux__
    if (block >= kHugePage) madvise(base, block, MADV_HUGEPAGE);
#endif
    return base;
  }

  void drop_cache() {
    std::unordered_map<size_t, std::vector<char*>> dropped;
    {
      std::lock_guard lock(mutex_);
      dropped.swap(free_);
      cached_bytes_ = 0;
    }
    for (auto& [block, bases] : dropped) {
      for (char* base : bases) {
        set_usable(base, block, true);
        std::free(base);
      }
    }
  }

  void give(char* base) {
    const Header header = *reinterpret_cast<Header*>(base);
    if (trace.is_running()) trace.give(base);
    live_bytes_ -= static_cast<int64_t>(header.requested);
    if (header.block < kLarge) {
      set_usable(base, header.block, true);
      std::free(base);
      return;
    }
    set_usable(base + kHeader, header.block - kHeader, false);
    std::lock_guard lock(mutex_);
    free_[header.block].push_back(base);
    cached_bytes_ += static_cast<int64_t>(header.block);
  }

  static void release(void* data);

  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<char*>> free_;  // behind the lock
  std::atomic<int64_t> live_bytes_{0}, peak_bytes_{0}, cached_bytes_{0};
};

/// Never destroyed: tensors of static lifetime free their memory after everything else.
CachingAllocator& instance() {
  static auto* allocator = new CachingAllocator;
  return *allocator;
}

void CachingAllocator::release(void* data) {
  if (data != nullptr) instance().give(static_cast<char*>(data) - kHeader);
}

}  // namespace

void install_allocator() { c10::SetCPUAllocator(&instance(), /*priority=*/100); }
AllocatorStats allocator_stats() { return instance().stats(); }
void reset_peak() { instance().reset_peak(); }
void empty_cache() { instance().empty(); }
void start_trace() { instance().trace.start(); }
std::vector<int64_t> stop_trace() { return instance().trace.stop(); }

int64_t footprint(const std::vector<int64_t>& trace) {
  std::vector<size_t> blocks;
  std::unordered_map<size_t, int64_t> free;  // large blocks that were freed, by size
  int64_t large = 0, small = 0, most = 0;
  for (const int64_t event : trace) {
    const bool taken = event >= 0;
    size_t block = taken ? static_cast<size_t>(event) + kHeader : blocks.at(static_cast<size_t>(-event - 1));
    if (taken) {
      if (block >= kLarge) block = size_class(block);
      blocks.push_back(block);
    }
    if (block < kLarge) {
      small += taken ? static_cast<int64_t>(block) : -static_cast<int64_t>(block);
    } else if (!taken) {
      ++free[block];
    } else if (free[block] > 0) {
      --free[block];
    } else {
      large += static_cast<int64_t>(block);
    }
    most = std::max(most, large + small);
  }
  return most;
}

}  // namespace bantam
