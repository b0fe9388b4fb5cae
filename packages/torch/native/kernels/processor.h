// The machine that kernels run on.
#pragma once

#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <initializer_list>

#include "level.h"

namespace bantam {

/// The level that kernels run at: vector_level(), or AMX where this process may use them.
inline Level level() {
  static const Level found = [] {
    const Level vectors = vector_level();
#ifdef BANTAM_AMX
    const bool wanted = vectors == Level::avx512_bf16 && limit().level == Level::amx;
    if (wanted && (limit().emulated || at::cpu::init_amx())) return Level::amx;
#endif
    return vectors;
  }();
  return found;
}

/// Whether the CPU has all of these, by libtorch's names. Other architectures' maps lack the keys.
inline bool processor_has(std::initializer_list<const char*> capabilities) {
  const auto known = at::cpu::get_cpu_capabilities();
  return std::all_of(capabilities.begin(), capabilities.end(), [&](const char* name) {
    const auto found = known.find(name);
    return found != known.end() && found->second.toBool();
  });
}

}  // namespace bantam
