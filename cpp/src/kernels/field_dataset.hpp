#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// The rows y_j of a data set about their mean, packed twice for the two products. Rows come in
// groups of dataset_group, columns in panels of dataset_panel, both padded with zeros.
inline constexpr std::size_t dataset_panel = 32;
inline constexpr std::size_t dataset_group = 128;
inline constexpr std::size_t dataset_points = 48;

inline constexpr double no_row = -1e300;  // a log weight that is finite and weighs nothing

struct DatasetView {
  std::size_t rows, dim, padded_dim;  // rows: a multiple of dataset_group; padded_dim: of 8
  const double* across;               // (rows / panel, dim, panel): each panel of rows, transposed
  const double* along;                // (rows, padded_dim)
  const double* squares;              // |y_j|^2
  const double* log_weight;           // no_row for padding
};

struct DatasetKernels {
  // For up to dataset_points points x (n, dim), given about b times the mean: mean (n, padded_dim)
  // becomes sum_j p_j y_j and energy (n) sum_j p_j e_j with e_j = |x - b y_j|^2 precision / 2 and
  // p_j ~ w_j exp(-e_j). `direct` computes the distances by differences, for when expanding the
  // square would cancel. scratch holds n (dim + dataset_group) + 3 n doubles.
  void (*posterior)(const DatasetView& data, double b, double precision, bool direct,
                    const double* x, std::size_t n, double* mean, double* energy,
                    double* scratch) noexcept;

  template <Simd>
  static const DatasetKernels& at() noexcept;
};

}  // namespace recouple
