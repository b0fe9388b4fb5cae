// The CPU allocator: counts bytes, and keeps large blocks instead of giving them back.
#pragma once

#include <cstdint>
#include <vector>

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

/// Records what is handed out from now on, and what of it is freed.
void start_trace();
/// Ends the recording: bytes for each block that was handed out, in order, and −n where the n-th of them
/// was freed.
std::vector<int64_t> stop_trace();
/// The most memory that such a sequence takes, blocks that are kept for later included.
int64_t footprint(const std::vector<int64_t>& trace);

}  // namespace bantam
