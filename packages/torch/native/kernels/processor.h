// The machine that kernels run on.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <atomic>
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

/// Hands tasks to libtorch's threads one by one, because their durations differ.
inline void run_tasks(int64_t count, void (*work)(void* context, int64_t task), void* context) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    for (int64_t task = next++; task < count; task = next++) work(context, task);
  });
}

}  // namespace bantam
