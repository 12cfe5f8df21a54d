#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

struct CholeskyKernels {
  // c[i][j] -= sum_k p[i][k] qt[k][j] for a tile of `rows` by `columns`; qt is packed with 16
  // columns a panel: qt[(j / 16)][k][j % 16].
  void (*subtract_product)(double* c, std::size_t c_stride, const double* p, std::size_t p_stride,
                           const double* packed, std::size_t rows, std::size_t columns,
                           std::size_t depth) noexcept;

  // Solves X L' = B in place for 16 rows of X, packed as x[k][16]; l is the n x n lower factor.
  void (*solve_panel)(const double* l, std::size_t stride, double* x, std::size_t n) noexcept;

  // Solves L L' x = b in place.
  void (*solve)(const double* l, double* b, std::size_t n) noexcept;

  template <Simd>
  static const CholeskyKernels& at() noexcept;
};

}  // namespace recouple
