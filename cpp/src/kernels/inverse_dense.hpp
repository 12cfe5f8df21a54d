#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// Points whose features lie together: a tile holds one row of so many values for each feature.
inline constexpr std::size_t dense_tile = 64;
// Columns of the Hessian computed together.
inline constexpr std::size_t dense_panel = 64;
// Sums over the points of a tile are kept apart in so many lanes.
inline constexpr std::size_t dense_lanes = 8;

struct DenseKernels {
  // sum[p] = sum_i theta[i] tile[i][p].
  void (*combine)(const double* tile, const double* theta, std::size_t rows, double* sum) noexcept;
  // The lanes of feature i += its row of the tile times the weights of the points.
  void (*accumulate)(const double* tile, const double* weight, std::size_t rows,
                     double* lanes) noexcept;
  // block[r][c] += sum_p tile[r][p] mass[p] tile[c][p] for all rows from the first of the `columns`
  // rows c, at most dense_panel; block's rows are dense_panel apart. packed: dense_tile *
  // dense_panel doubles.
  void (*add_products)(const double* tile, std::size_t rows, std::size_t columns,
                       const double* mass, double* packed, double* block) noexcept;
  // sum_i a[i] b[i], in fixed lanes.
  double (*dot)(const double* a, const double* b, std::size_t n) noexcept;

  template <Simd>
  static const DenseKernels& at() noexcept;
};

}  // namespace recouple
