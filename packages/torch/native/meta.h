#pragma once

#include <cstdint>

namespace bantam {

/// Makes libtorch count the bytes of tensors on the device "meta".
void install_meta_allocator();

/// Bytes that the tensors on "meta" which are alive would take elsewhere.
int64_t live_meta_bytes();

}  // namespace bantam
