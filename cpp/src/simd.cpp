#include "recouple/simd.hpp"

#include <algorithm>
#include <cstdlib>

namespace recouple {
namespace {

Simd best_of_machine() noexcept {
#ifdef RECOUPLE_X86_LEVELS
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd");
  if (avx2 && avx512) return Simd::avx512;
  if (avx2) return Simd::avx2;
#endif
  return Simd::baseline;
}

Simd choose() noexcept {
  const Simd best = best_of_machine();
  const char* wanted = std::getenv("RECOUPLE_SIMD");
  if (wanted == nullptr) return best;
  for (const Simd level : {Simd::baseline, Simd::avx2, Simd::avx512}) {
    if (name(level) == wanted) return std::min(level, best);
  }
  return best;
}

}  // namespace

Simd simd_level() noexcept {
  static const Simd level = choose();
  return level;
}

std::string_view name(Simd level) noexcept {
  switch (level) {
    case Simd::avx512:
      return "avx512";
    case Simd::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace recouple
