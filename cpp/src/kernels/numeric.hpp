#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// y[i] = f(x[i]); see recouple/numeric.hpp. y may be x.
struct NumericKernels {
  using Map = void (*)(const double* x, double* y, std::size_t n) noexcept;
  Map exp, log, erf, erfc, erfcx, normal_cdf, normal_quantile;

  template <Simd>
  static const NumericKernels& at() noexcept;
};

}  // namespace recouple
