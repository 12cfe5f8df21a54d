// Cumulative weights, the levels at which a quantile function steps.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace recouple {

// Levels are known to their rounding: those closer than this are one.
inline constexpr double level_tolerance = 16 * std::numeric_limits<double>::epsilon();

// Weights to their cumulative sums in place, in units of the whole sum, which must be positive; the
// last is 1. Short sums are added up within blocks of 64; what their rounding loses is carried
// along (Neumaier 1974), so that every level is right to a few ulp of 1 whatever n.
inline void cumulate(double* w, std::size_t n) noexcept {
  constexpr std::size_t block = 64;
  double offset = 0, lost = 0;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t end = std::min(n, first + block);
    const double base = offset + lost;
    double sum = 0;
    for (std::size_t k = first; k < end; ++k) {
      sum += w[k];
      w[k] = base + sum;
    }
    const double next = offset + sum;
    lost += std::abs(offset) >= sum ? (offset - next) + sum : (sum - next) + offset;
    offset = next;
  }
  const double total = w[n - 1];
  for (std::size_t k = 0; k < n; ++k) w[k] = std::min(w[k] / total, 1.0);
}

}  // namespace recouple
