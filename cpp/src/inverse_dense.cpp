// The entropic dual with features given by their values: any points, any dimension.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/inverse_dense.hpp"
#include "recouple/inverse.hpp"

namespace recouple {

EntropicDual::EntropicDual(std::span<const double> reference, std::vector<double> features)
    : degree_(1),
      dense_(std::move(features)),
      offset_{0},
      reference_(reference.begin(), reference.end()),
      mass_(reference.begin(), reference.end()) {
  if (reference.empty() || dense_.empty() || dense_.size() % reference.size() != 0) {
    throw std::invalid_argument("features must have one column per point of the reference");
  }
  double total = 0;
  for (const double m : reference_) {
    if (!(m >= 0) || !std::isfinite(m)) {
      throw std::invalid_argument("reference must be finite and not negative");
    }
    total += m;
  }
  if (!(total > 0)) throw std::invalid_argument("reference must have mass");
  for (const double f : dense_) {
    if (!std::isfinite(f)) throw std::invalid_argument("features must be finite");
  }
  offset_.push_back(dense_.size() / reference.size());
  theta_.assign(size(), 0.0);
}

void EntropicDual::dense_moments(std::span<const double> mass, std::span<double> moments,
                                 int threads) const {
  const double work = 0.2 * double(dense_.size());
  parallel_for(size(), threads_for(work, threads), [&](std::size_t i) noexcept {
    moments[i] = kernels<DenseKernels>().dot(&dense_[i * points()], mass.data(), points());
  });
}

// Lower triangle, a panel of columns to a task; a task's rows start at its diagonal.
std::vector<double> EntropicDual::dense_hessian(std::span<const double> mass,
                                                std::span<const double> penalty,
                                                int threads) const {
  const std::size_t n = size(), panels = (n + dense_panel - 1) / dense_panel;
  std::vector<double> h(n * n, 0.0);
  std::vector<std::vector<double>> blocks(panels), packed(panels);
  for (std::size_t i = 0; i < panels; ++i) {
    blocks[i].resize((n - i * dense_panel) * dense_panel);
    packed[i].resize(dense_points * dense_panel);
  }
  const double work = 0.05 * double(n) * double(dense_.size());
  parallel_for(panels, threads_for(work, threads), [&](std::size_t task) noexcept {
    const std::size_t first = task * dense_panel, columns = std::min(dense_panel, n - first);
    const double* from = &dense_[first * points()];
    kernels<DenseKernels>().add_products(from, n - first, from, columns, points(), mass.data(),
                                         points(), packed[task].data(), blocks[task].data());
    for (std::size_t r = first; r < n; ++r) {
      const std::size_t used = std::min(columns, r - first + 1);
      std::copy_n(&blocks[task][(r - first) * dense_panel], used, &h[r * n + first]);
    }
  });
  for (std::size_t i = 0; i < n; ++i) h[i * n + i] += penalty[i];
  return h;
}

}  // namespace recouple
