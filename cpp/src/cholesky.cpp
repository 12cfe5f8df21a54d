#include "recouple/cholesky.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "kernels/cholesky.hpp"
#include "recouple/parallel.hpp"

namespace recouple {
namespace {

constexpr std::size_t block = 64;  // columns factored together
constexpr std::size_t width = 16;  // panel width of the packed operand

bool factor_diagonal(double* a, std::size_t stride, std::size_t n) noexcept {
  for (std::size_t j = 0; j < n; ++j) {
    double pivot = a[j * stride + j];
    for (std::size_t k = 0; k < j; ++k) pivot -= a[j * stride + k] * a[j * stride + k];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    const double root = a[j * stride + j] = std::sqrt(pivot);
    for (std::size_t i = j + 1; i < n; ++i) {
      double s = a[i * stride + j];
      for (std::size_t k = 0; k < j; ++k) s -= a[i * stride + k] * a[j * stride + k];
      a[i * stride + j] = s / root;
    }
  }
  return true;
}

}  // namespace

bool cholesky(std::span<double> matrix, std::size_t n, int threads) {
  if (matrix.size() != n * n) throw std::invalid_argument("a must have n * n entries");
  double* a = matrix.data();
  std::vector<double> packed;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t depth = std::min(block, n - first), below = first + depth;
    double* diagonal = a + first * n + first;
    if (!factor_diagonal(diagonal, n, depth)) return false;
    const std::size_t rest = n - below;
    if (rest == 0) break;

    const double update_ns = 0.05 * double(rest) * double(rest) * double(depth);  // measured
    const int team = update_ns < repeated_region_cutoff_ns ? 1 : threads_for(update_ns, threads);
    const std::size_t panels = (rest + width - 1) / width;
    packed.assign(panels * width * depth, 0.0);
    parallel_for(panels, team, [&](std::size_t p) noexcept {
      const std::size_t top = p * width, rows = std::min(width, rest - top);
      double* x = packed.data() + top * depth;
      double* panel = a + (below + top) * n + first;
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t k = 0; k < depth; ++k) x[k * width + i] = panel[i * n + k];
      }
      kernels<CholeskyKernels>().solve_panel(diagonal, n, x, depth);
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t k = 0; k < depth; ++k) panel[i * n + k] = x[k * width + i];
      }
    });
    // Trailing update, a stripe of rows at a time, lower triangle only.
    constexpr std::size_t stripe = 48;
    parallel_for((rest + stripe - 1) / stripe, team, [&](std::size_t s) noexcept {
      const std::size_t top = s * stripe, rows = std::min(stripe, rest - top);
      const std::size_t columns = top + rows;
      kernels<CholeskyKernels>().subtract_product(a + (below + top) * n + below, n,
                                                  a + (below + top) * n + first, n, packed.data(),
                                                  rows, columns, depth);
    });
  }
  return true;
}

void cholesky_solve(std::span<const double> l, std::size_t n, std::span<double> b) {
  if (l.size() != n * n || b.size() != n) {
    throw std::invalid_argument("l must have n * n entries and b must have n");
  }
  kernels<CholeskyKernels>().solve(l.data(), b.data(), n);
}

}  // namespace recouple
