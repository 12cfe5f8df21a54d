#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// Columns of the Hessian computed together.
inline constexpr std::size_t dense_panel = 64;
// Points whose weighted features are packed at a time: dense_points * dense_panel doubles.
inline constexpr std::size_t dense_points = 256;

// Features as rows over the points, `stride` apart.
struct DenseKernels {
  // exponent[p] += sum_i theta[i] features[i][p].
  void (*add_exponent)(const double* features, std::size_t stride, const double* theta,
                       std::size_t rows, double* exponent, std::size_t points) noexcept;
  // sum_p row[p] mass[p], in fixed lanes.
  double (*dot)(const double* row, const double* mass, std::size_t points) noexcept;
  // block[r][c] += sum_p left[r][p] mass[p] right[c][p] for c < columns <= dense_panel; block's
  // rows are dense_panel apart. packed: dense_points * dense_panel doubles.
  void (*add_products)(const double* left, std::size_t rows, const double* right,
                       std::size_t columns, std::size_t stride, const double* mass,
                       std::size_t points, double* packed, double* block) noexcept;

  template <Simd>
  static const DenseKernels& at() noexcept;
};

}  // namespace recouple
