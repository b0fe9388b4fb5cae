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

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace bantam {
namespace {

constexpr size_t kHeader = 64;             // keeps the data on a cache line of its own
constexpr size_t kLarge = size_t{1} << 20;  // blocks from here on are cached
constexpr size_t kHugePage = size_t{2} << 20;

/// Stands before each block's data.
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

/// A training step asks for the same large buffers each time. Giving them back to the system costs
/// a page fault for every page of every step, so they are kept by size, on huge pages where there are any.
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

  AllocatorStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak_bytes = stats_.live_bytes;
  }

  void empty() {
    std::lock_guard lock(mutex_);
    drop_cache();
#ifdef __GLIBC__
    malloc_trim(0);  // small blocks that were freed, too
#endif
  }

  void start_trace() {
    std::lock_guard lock(mutex_);
    trace_.clear();
    traced_.clear();
    blocks_traced_ = 0;
    tracing_ = true;
  }

  std::vector<int64_t> stop_trace() {
    std::lock_guard lock(mutex_);
    tracing_ = false;
    traced_.clear();
    return std::move(trace_);
  }

 private:
  void* take(size_t bytes) {
    std::lock_guard lock(mutex_);
    size_t block = bytes + kHeader;
    char* base = nullptr;
    if (block >= kLarge) {
      block = size_class(block);
      auto& free = free_[block];
      if (!free.empty()) {
        base = free.back();
        free.pop_back();
        stats_.cached_bytes -= static_cast<int64_t>(block);
      }
    }
    if (base == nullptr) base = request(block);
    *reinterpret_cast<Header*>(base) = {bytes, block};
    if (tracing_) {
      trace_.push_back(static_cast<int64_t>(bytes));
      traced_[base] = ++blocks_traced_;
    }
    stats_.live_bytes += static_cast<int64_t>(bytes);
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
    return base + kHeader;
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
    for (auto& [size, blocks] : free_) {
      for (char* base : blocks) std::free(base);
      blocks.clear();
    }
    stats_.cached_bytes = 0;
  }

  void give(char* base) {
    std::lock_guard lock(mutex_);
    const Header header = *reinterpret_cast<Header*>(base);
    stats_.live_bytes -= static_cast<int64_t>(header.requested);
    if (tracing_) {
      const auto found = traced_.find(base);
      if (found != traced_.end()) {
        trace_.push_back(-found->second);
        traced_.erase(found);
      }
    }
    if (header.block < kLarge) {
      std::free(base);
    } else {
      free_[header.block].push_back(base);
      stats_.cached_bytes += static_cast<int64_t>(header.block);
    }
  }

  static void release(void* data);

  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<char*>> free_;
  AllocatorStats stats_{};
  bool tracing_ = false;
  std::vector<int64_t> trace_;
  std::unordered_map<char*, int64_t> traced_;  // which of the traced blocks a live one is
  int64_t blocks_traced_ = 0;
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
void start_trace() { instance().start_trace(); }
std::vector<int64_t> stop_trace() { return instance().stop_trace(); }

int64_t footprint(const std::vector<int64_t>& trace) {
  std::vector<size_t> blocks;
  std::unordered_map<size_t, int64_t> free;  // large blocks that were freed, by size
  int64_t large = 0, small = 0, most = 0;
  for (const int64_t event : trace) {
    const bool taken = event >= 0;
    size_t block = taken ? static_cast<size_t>(event) + kHeader : blocks.at(-event - 1);
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
