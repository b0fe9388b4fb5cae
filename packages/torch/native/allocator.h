// The CPU allocator: counts bytes, and keeps large blocks instead of giving them back.
#pragma once

#include <cstdint>

namespace bantam {

struct AllocatorStats {
  int64_t live_bytes;    // handed out and not freed
  int64_t peak_bytes;    // the most that was ever live since the last reset
  int64_t cached_bytes;  // freed large blocks, kept for the next request of their size
};

/// Makes it libtorch's CPU allocator; call once, before the first tensor.
void install_allocator();
AllocatorStats allocator_stats();
void reset_peak();
/// Gives every cached block back to the system.
void empty_cache();

}  // namespace bantam
