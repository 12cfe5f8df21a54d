// Which instruction set the kernels use, chosen once, when the first kernel is called.
#pragma once

#include <string_view>

namespace recouple {

enum class Simd { baseline = 0, avx2 = 1, avx512 = 2 };

// The best level that this build holds and this machine runs. The environment variable
// RECOUPLE_SIMD (baseline, avx2 or avx512), read once, can lower it, for tests and measurements;
// another value is ignored.
Simd simd_level() noexcept;

std::string_view name(Simd level) noexcept;

}  // namespace recouple
