#include "kernels/inverse_dense.hpp"

#include "kernels/lanes8.hpp"
#include "kernels/product.hpp"

namespace recouple {
namespace {

void add_exponent(const double* features, std::size_t stride, const double* theta, std::size_t rows,
                  double* exponent, std::size_t points) noexcept {
  for (std::size_t i = 0; i < rows; ++i) {
    const double* row = features + i * stride;
    const double t = theta[i];
    for (std::size_t p = 0; p < points; ++p) exponent[p] += t * row[p];
  }
}

double dot(const double* row, const double* mass, std::size_t points) noexcept {
  Lanes8 sum{};
  std::size_t p = 0;
  for (; p + 8 <= points; p += 8) {
    Lanes8 a, b;
    load8(row + p, a);
    load8(mass + p, b);
    sum += a * b;
  }
  double total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  for (; p < points; ++p) total += row[p] * mass[p];
  return total;
}

void add_products(const double* left, std::size_t rows, const double* right, std::size_t columns,
                  std::size_t stride, const double* mass, std::size_t points, double* packed,
                  double* block) noexcept {
  for (std::size_t first = 0; first < points; first += dense_points) {
    const std::size_t n = points - first < dense_points ? points - first : dense_points;
    for (std::size_t c = 0; c < dense_panel; ++c) {
      const double* row = right + c * stride + first;
      for (std::size_t p = 0; p < n; ++p) {
        packed[p * dense_panel + c] = c < columns ? row[p] * mass[first + p] : 0.0;
      }
    }
    product(rows, n, dense_panel, left + first, stride, packed, dense_panel, block, dense_panel,
            block, dense_panel);
  }
}

}  // namespace

template <>
const DenseKernels& DenseKernels::at<level_of_this_file>() noexcept {
  static constexpr DenseKernels table{&recouple::add_exponent, &recouple::dot,
                                      &recouple::add_products};
  return table;
}

}  // namespace recouple
