// Lower and upper bounds that let NaN pass: a run that breaks must be seen to. Only plain C headers here.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif

// The compiler may then exchange the operands of a minimum or maximum, and a NaN becomes the other one.
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "Compile Bantam's kernels without -ffinite-math-only and -ffast-math: they would lose NaN."
#endif

#define BANTAM_INLINE __attribute__((always_inline)) inline

namespace bantam {

/// max(x, low)
BANTAM_INLINE float at_least(float x, float low) { return x < low ? low : x; }

/// min(x, high)
BANTAM_INLINE float at_most(float x, float high) { return x > high ? high : x; }

#ifdef __AVX512F__
namespace {

// The instructions give their second operand where one of the two is NaN.

/// max(x, low) for 16 numbers.
inline __m512 at_least16(__m512 x, float low) { return _mm512_max_ps(_mm512_set1_ps(low), x); }

/// min(x, high) for 16 numbers.
inline __m512 at_most16(__m512 x, float high) { return _mm512_min_ps(_mm512_set1_ps(high), x); }

}  // namespace
#endif

}  // namespace bantam
