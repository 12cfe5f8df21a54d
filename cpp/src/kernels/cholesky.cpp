#include "kernels/cholesky.hpp"

#include "kernels/lanes8.hpp"

namespace recouple {
namespace {

constexpr std::size_t width = 16;  // columns held in registers together, as two Lanes8
constexpr std::size_t height = level_of_this_file == Simd::avx512 ? 8 : 2;  // rows likewise

template <std::size_t rows>
void tile(double* c, std::size_t c_stride, const double* p, std::size_t p_stride,
          const double* packed, std::size_t columns, std::size_t depth) noexcept {
  Lanes8 low[rows] = {}, high[rows] = {};
  for (std::size_t k = 0; k < depth; ++k) {
    Lanes8 q0, q1;
    load8(packed + k * width, q0);
    load8(packed + k * width + 8, q1);
    for (std::size_t r = 0; r < rows; ++r) {
      const double f = p[r * p_stride + k];
      low[r] += f * q0;
      high[r] += f * q1;
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    double sum[width];
    store8(sum, low[r]);
    store8(sum + 8, high[r]);
    for (std::size_t s = 0; s < columns; ++s) c[r * c_stride + s] -= sum[s];
  }
}

void subtract_product(double* c, std::size_t c_stride, const double* p, std::size_t p_stride,
                      const double* packed, std::size_t rows, std::size_t columns,
                      std::size_t depth) noexcept {
  for (std::size_t j = 0; j < columns; j += width) {
    const std::size_t some = columns - j < width ? columns - j : width;
    const double* q = packed + j * depth;
    std::size_t i = 0;
    for (; i + height <= rows; i += height) {
      tile<height>(c + i * c_stride + j, c_stride, p + i * p_stride, p_stride, q, some, depth);
    }
    for (; i < rows; ++i) {
      tile<1>(c + i * c_stride + j, c_stride, p + i * p_stride, p_stride, q, some, depth);
    }
  }
}

void solve_panel(const double* l, std::size_t stride, double* x, std::size_t n) noexcept {
  for (std::size_t j = 0; j < n; ++j) {
    Lanes8 s0, s1, x0, x1;
    load8(x + j * width, s0);
    load8(x + j * width + 8, s1);
    for (std::size_t k = 0; k < j; ++k) {
      const double f = l[j * stride + k];
      load8(x + k * width, x0);
      load8(x + k * width + 8, x1);
      s0 -= f * x0;
      s1 -= f * x1;
    }
    const double inverse = 1 / l[j * stride + j];
    store8(x + j * width, s0 * inverse);
    store8(x + j * width + 8, s1 * inverse);
  }
}

void solve(const double* l, double* b, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = l + i * n;
    Lanes8 sum = {}, x, y;
    std::size_t k = 0;
    for (; k + 8 <= i; k += 8) {
      load8(row + k, x);
      load8(b + k, y);
      sum += x * y;
    }
    double s = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    for (; k < i; ++k) s += row[k] * b[k];
    b[i] = (b[i] - s) / row[i];
  }
  for (std::size_t i = n; i-- > 0;) {
    const double* row = l + i * n;
    const double s = b[i] /= row[i];
    std::size_t k = 0;
    for (; k + 8 <= i; k += 8) {
      Lanes8 x, y;
      load8(row + k, x);
      load8(b + k, y);
      store8(b + k, y - s * x);
    }
    for (; k < i; ++k) b[k] -= row[k] * s;
  }
}

}  // namespace

template <>
const CholeskyKernels& CholeskyKernels::at<level_of_this_file>() noexcept {
  static constexpr CholeskyKernels table{&recouple::subtract_product, &recouple::solve_panel,
                                         &recouple::solve};
  return table;
}

}  // namespace recouple
