#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// Along a diagonal of the grid the edges of the bins cut all cells in the same place: projections
// and their adjoints are sums of whole vectors.
struct DescentKernels {
  // bins[k] += share mass[k] + (1 - share) mass[k - 1] for k from 0 to n; outside, mass is zero.
  void (*spread)(const double* mass, std::size_t n, double share, double* bins) noexcept;
  // cells[k] += share bins[k] + (1 - share) bins[k + 1] for k below n.
  void (*gather)(const double* bins, std::size_t n, double share, double* cells) noexcept;

  template <Simd>
  static const DescentKernels& at() noexcept;
};

}  // namespace recouple
