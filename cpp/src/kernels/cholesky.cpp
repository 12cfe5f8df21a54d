#include "kernels/cholesky.hpp"

namespace recouple {
namespace {

constexpr std::size_t width = 16;  // columns held in registers together

template <std::size_t rows>
void tile(double* c, std::size_t c_stride, const double* p, std::size_t p_stride,
          const double* packed, std::size_t columns, std::size_t depth) noexcept {
  double sum[rows][width] = {};
  for (std::size_t k = 0; k < depth; ++k) {
    const double* q = packed + k * width;
    for (std::size_t r = 0; r < rows; ++r) {
      const double f = p[r * p_stride + k];
      for (std::size_t s = 0; s < width; ++s) sum[r][s] += f * q[s];
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t s = 0; s < columns; ++s) c[r * c_stride + s] -= sum[r][s];
  }
}

void subtract_product(double* c, std::size_t c_stride, const double* p, std::size_t p_stride,
                      const double* packed, std::size_t rows, std::size_t columns,
                      std::size_t depth) noexcept {
  for (std::size_t j = 0; j < columns; j += width) {
    const std::size_t some = columns - j < width ? columns - j : width;
    const double* q = packed + j * depth;
    std::size_t i = 0;
    for (; i + 6 <= rows; i += 6) {
      tile<6>(c + i * c_stride + j, c_stride, p + i * p_stride, p_stride, q, some, depth);
    }
    for (; i < rows; ++i) {
      tile<1>(c + i * c_stride + j, c_stride, p + i * p_stride, p_stride, q, some, depth);
    }
  }
}

void solve_panel(const double* l, std::size_t stride, double* x, std::size_t n) noexcept {
  for (std::size_t j = 0; j < n; ++j) {
    double s[width];
    for (std::size_t i = 0; i < width; ++i) s[i] = x[j * width + i];
    for (std::size_t k = 0; k < j; ++k) {
      const double f = l[j * stride + k];
      for (std::size_t i = 0; i < width; ++i) s[i] -= f * x[k * width + i];
    }
    const double inverse = 1 / l[j * stride + j];
    for (std::size_t i = 0; i < width; ++i) x[j * width + i] = s[i] * inverse;
  }
}

}  // namespace

template <>
const CholeskyKernels& CholeskyKernels::at<level_of_this_file>() noexcept {
  static constexpr CholeskyKernels table{&recouple::subtract_product, &recouple::solve_panel};
  return table;
}

}  // namespace recouple
