#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

inline constexpr std::size_t ntk_tile = 64;

struct TheoryKernels {
  // One row of a tile: kernel values of the unit row u (inputs) of norm `norm` with ntk_tile unit
  // rows across (inputs, ntk_tile) of norms `norms`.
  void (*ntk_row)(std::size_t inputs, bool outputs, const double* u, double norm,
                  const double* across, const double* norms, double* out) noexcept;

  template <Simd>
  static const TheoryKernels& at() noexcept;
};

}  // namespace recouple
