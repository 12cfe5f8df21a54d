#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// A Gaussian mixture on the line, one entry per component; see NormalMixture.
struct LineMixture {
  std::size_t size;
  const double *weight, *log_weight, *mean, *std, *inverse, *inverse_low, *peak, *log_peak;
  double least_std;
  // With `left`: one standard deviation and increasing means (kernel-smoothed samples). left[k] and
  // right[k] are the weights before k and from k on; the arrays are padded by weights of zero to a
  // multiple of 8, and only the components near a point are visited.
  const double *left, *right;
  double log_least_weight;
};

// Where to start looking for quantiles: increasing points, the normal score Phi^-1(P(X <= x)) of
// each (padded with infinities to a power of two less one), and the slope dx/dscore there. Without
// scores they are worked out as the search needs them.
struct Landmarks {
  std::size_t size;
  const double *x, *score, *slope;
};

struct MarginalKernels {
  using Map = void (*)(const LineMixture& law, const double* x, double* out,
                       std::size_t n) noexcept;
  // P(X <= x) and P(X > x), each accurate relative to itself, and their logarithms without
  // underflow.
  Map lower, upper, log_lower, log_upper;
  Map density, log_density;

  // Scores and slopes at the points x.
  void (*survey)(const LineMixture& law, const double* x, double* score, double* slope,
                 std::size_t n) noexcept;

  // x with P(X <= x) = w where side is +1, P(X > x) = w where it is -1, for 0 < w <= 1/2. x may be
  // w. Returns the most iterations any point took.
  int (*invert)(const LineMixture& law, const Landmarks& landmarks, const double* w,
                const double* side, double* x, std::size_t n) noexcept;

  template <Simd>
  static const MarginalKernels& at() noexcept;
};

}  // namespace recouple
