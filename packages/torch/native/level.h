// The instruction level of Bantam's kernels, decided here for both addons: the highest that the build, the
// CPU and BANTAM_MAX_ISA allow. No libtorch, as the image addon has none.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

namespace bantam {

/// Each level has the instructions of those before it: plain C++; AVX2 with FMA; AVX-512 F, BW, CD, DQ and
/// VL; AVX512-BF16; AMX.
enum class Level { plain, avx2, avx512, avx512_bf16, amx };

/// As BANTAM_MAX_ISA has them.
constexpr const char* kLevelNames[] = {"default", "avx2", "avx512", "avx512_bf16", "amx"};

/// What BANTAM_MAX_ISA asks for.
struct Limit {
  Level level = Level::amx;
  bool emulated = false;  // AMX in software, for tests
  bool known = true;
  bool vnni = true;  // AVX-VNNI, which CPUs with AVX2 may have
};

inline const char* limit_text() {
  const char* text = std::getenv("BANTAM_MAX_ISA");
  return text != nullptr && *text != '\0' ? text : nullptr;
}

inline const Limit& limit() {
  static const Limit read = [] {
    const char* text = limit_text();
    if (text == nullptr) return Limit{};
#ifdef BANTAM_EMULATED_AMX
    if (std::string_view(text) == "amx_emulated") return Limit{Level::amx, true};
#endif
    if (std::string_view(text) == "avx2_vnni") return Limit{Level::avx2};
    const auto* found = std::find(std::begin(kLevelNames), std::end(kLevelNames), std::string_view(text));
    if (found == std::end(kLevelNames)) return Limit{Level::plain, false, false};
    const auto level = static_cast<Level>(found - std::begin(kLevelNames));
    return Limit{level, false, true, level > Level::avx2};
  }();
  return read;
}

/// A sentence about a BANTAM_MAX_ISA that is none, else empty.
inline std::string limit_error() {
  if (limit().known) return {};
  return std::string("BANTAM_MAX_ISA is '") + limit_text() +
         "': set it to default, avx2, avx2_vnni, avx512, avx512_bf16 or amx, or unset it to use all that the CPU has.";
}

/// The level without AMX, which a process has to ask for.
inline Level vector_level() {
  static const Level found = [] {
    Level level = Level::plain;
#if defined(__x86_64__) && defined(__GNUC__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (avx2) level = Level::avx2;
#ifdef BANTAM_AVX512
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    if (avx512) level = __builtin_cpu_supports("avx512bf16") ? Level::avx512_bf16 : Level::avx512;
#endif
#endif
    return std::min(level, limit().level);
  }();
  return found;
}

/// Whether the CPU multiplies int8 without AVX-512.
inline bool has_avx_vnni() {
#if defined(__x86_64__) && defined(__GNUC__)
  return vector_level() >= Level::avx2 && limit().vnni && __builtin_cpu_supports("avxvnni");
#else
  return false;
#endif
}

}  // namespace bantam
