// Branch-free elementary functions for kernel sources, written so that loops over them vectorise.
//
// Included by files in kernels/ only, each compiled for its own instruction set: everything is in
// an anonymous namespace so that no two levels share a symbol.
#pragma once

#include <cstdint>

namespace recouple {
namespace {  // NOLINT: internal linkage is the point, see above

// exp(x) to 1 ulp for x in [-708, 709]; 0 below -745, inf above 709.8, NaN for NaN.
//
// x = k log 2 + r with |r| <= log(2)/2, exp(r) by its Taylor series to degree 13 (remainder 4e-18),
// and 2^k assembled in the exponent bits in two factors, so that subnormal results come out.
[[maybe_unused]] inline double vec_exp(double x) noexcept {
  constexpr double log2e = 1.4426950408889634074;
  constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  constexpr double round = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  double c = x < 709.79 ? x : 709.79;           // NaN takes the bound and is put back at the end
  c = c > -746.0 ? c : -746.0;
  const double shifted = c * log2e + round;
  const double k = shifted - round;
  const double r = (c - k * ln2_hi) - k * ln2_lo;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const auto n = static_cast<std::int64_t>(__builtin_bit_cast(std::uint64_t, shifted) -
                                           __builtin_bit_cast(std::uint64_t, round));
  // Split as k = half + rest without a 64-bit arithmetic shift, which AVX2 lacks.
  const auto biased = static_cast<std::uint64_t>(n + 2048);
  const std::uint64_t half = biased >> 1, rest = biased - half;
  const double scale_half = __builtin_bit_cast(double, (half + 1023 - 1024) << 52);
  const double scale_rest = __builtin_bit_cast(double, (rest + 1023 - 1024) << 52);
  const double y = (p * scale_half) * scale_rest;
  return x == x ? (x > 709.782712893384 ? __builtin_inf() : y) : x;
}

}  // namespace
}  // namespace recouple
