#include "kernels/inverse_dense.hpp"

#include "kernels/lanes8.hpp"
#include "kernels/product.hpp"

namespace recouple {
namespace {

constexpr std::size_t groups = dense_tile / dense_lanes;

void combine(const double* tile, const double* theta, std::size_t rows, double* sum) noexcept {
  Lanes8 total[groups] = {}, row;
  for (std::size_t i = 0; i < rows; ++i, tile += dense_tile) {
    const double t = theta[i];
#pragma GCC unroll 8
    for (std::size_t g = 0; g < groups; ++g) {
      load8(tile + g * dense_lanes, row);
      total[g] += t * row;
    }
  }
  for (std::size_t g = 0; g < groups; ++g) store8(sum + g * dense_lanes, total[g]);
}

void accumulate(const double* tile, const double* weight, std::size_t rows,
                double* lanes) noexcept {
  Lanes8 w[groups], row, total;
  for (std::size_t g = 0; g < groups; ++g) load8(weight + g * dense_lanes, w[g]);
  for (std::size_t i = 0; i < rows; ++i, tile += dense_tile) {
    load8(lanes + i * dense_lanes, total);
    Lanes8 other{};
#pragma GCC unroll 4
    for (std::size_t g = 0; g < groups; g += 2) {
      load8(tile + g * dense_lanes, row);
      total += w[g] * row;
      load8(tile + (g + 1) * dense_lanes, row);
      other += w[g + 1] * row;
    }
    store8(lanes + i * dense_lanes, total + other);
  }
}

void add_products(const double* tile, std::size_t rows, std::size_t columns, const double* mass,
                  double* packed, double* block) noexcept {
  for (std::size_t c = 0; c < dense_panel; ++c) {
    const double* row = tile + c * dense_tile;
    for (std::size_t p = 0; p < dense_tile; ++p) {
      packed[p * dense_panel + c] = c < columns ? row[p] * mass[p] : 0.0;
    }
  }
  product(rows, dense_tile, dense_panel, tile, dense_tile, packed, dense_panel, block, dense_panel,
          block, dense_panel);
}

double dot(const double* a, const double* b, std::size_t n) noexcept {
  Lanes8 sum{}, x, y;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    load8(a + i, x);
    load8(b + i, y);
    sum += x * y;
  }
  double total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

}  // namespace

template <>
const DenseKernels& DenseKernels::at<level_of_this_file>() noexcept {
  static constexpr DenseKernels table{&recouple::combine, &recouple::accumulate,
                                      &recouple::add_products, &recouple::dot};
  return table;
}

}  // namespace recouple
