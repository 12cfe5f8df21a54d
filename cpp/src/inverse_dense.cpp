// The entropic dual with features given by their values: any points, any dimension.
//
// The features are kept in tiles of dense_tile points, all rows of a tile together: a product with
// the Hessian reads them once.
#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "kernels/inverse.hpp"
#include "kernels/inverse_dense.hpp"
#include "recouple/inverse.hpp"

namespace recouple {
namespace {

constexpr std::size_t tiles_in_task = 8;
std::size_t tiles_of(std::size_t points) noexcept {
  return (points + dense_tile - 1) / dense_tile;
}

// body(tile, point, count, lanes) for every tile, the points it holds, and the lanes of its task;
// sums the lanes of each row over tasks, in order, into `moments` unless that is empty.
template <class Body>
void over_tiles(std::span<const double> dense, std::size_t points, std::span<double> moments,
                int threads, Body&& body) {
  const std::size_t tiles = tiles_of(points), rows = dense.size() / (tiles * dense_tile);
  const std::size_t tasks = (tiles + tiles_in_task - 1) / tiles_in_task;
  const std::size_t width = rows * dense_lanes;
  std::vector<double> lanes(moments.empty() ? 0 : tasks * width, 0.0);
  const double work = 0.2 * double(dense.size());
  parallel_for(tasks, threads_for(work, threads), [&](std::size_t task) noexcept {
    const std::size_t last = std::min(tiles, (task + 1) * tiles_in_task);
    for (std::size_t k = task * tiles_in_task; k < last; ++k) {
      const std::size_t p = k * dense_tile;
      body(&dense[k * rows * dense_tile], p, std::min(dense_tile, points - p),
           lanes.data() + (moments.empty() ? 0 : task * width));
    }
  });
  for (std::size_t i = 0; i < moments.size(); ++i) {
    double total = 0;
    for (std::size_t task = 0; task < tasks; ++task) {
      const double* s = &lanes[task * width + i * dense_lanes];
      total += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
    moments[i] = total;
  }
}

}  // namespace

EntropicDual::EntropicDual(std::span<const double> reference, std::span<const double> features)
    : degree_(1),
      offset_{0},
      reference_(reference.begin(), reference.end()),
      mass_(reference.begin(), reference.end()) {
  if (reference.empty() || features.empty() || features.size() % reference.size() != 0) {
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
  for (const double f : features) {
    if (!std::isfinite(f)) throw std::invalid_argument("features must be finite");
  }
  const std::size_t rows = features.size() / points();
  offset_.push_back(rows);
  dense_.assign(tiles_of(points()) * rows * dense_tile, 0.0);
  for (std::size_t p = 0; p < points(); p += dense_tile) {
    for (std::size_t i = 0; i < rows; ++i) {
      std::copy_n(&features[i * points() + p], std::min(dense_tile, points() - p),
                  &dense_[p * rows + i * dense_tile]);
    }
  }
  theta_.assign(size(), 0.0);
}

void EntropicDual::update_dense(std::span<const double> theta, std::span<double> mass,
                                int threads) const {
  over_tiles(dense_, points(), {}, threads,
             [&](const double* tile, std::size_t p, std::size_t n, double*) noexcept {
               std::array<double, dense_tile> exponent;
               kernels<DenseKernels>().combine(tile, theta.data(), size(), exponent.data());
               kernels<InverseKernels>().tilt(&reference_[p], exponent.data(), &mass[p], n);
             });
}

void EntropicDual::dense_moments(std::span<const double> mass, std::span<double> moments,
                                 int threads) const {
  over_tiles(dense_, points(), moments, threads,
             [&](const double* tile, std::size_t p, std::size_t n, double* lanes) noexcept {
               std::array<double, dense_tile> weight{};
               std::copy_n(&mass[p], n, weight.data());
               kernels<DenseKernels>().accumulate(tile, weight.data(), size(), lanes);
             });
}

// image = A diag(mass) A' x.
void EntropicDual::dense_multiply(std::span<const double> x, std::span<double> image,
                                  int threads) const {
  over_tiles(dense_, points(), image, threads,
             [&](const double* tile, std::size_t p, std::size_t n, double* lanes) noexcept {
               std::array<double, dense_tile> weight;
               kernels<DenseKernels>().combine(tile, x.data(), size(), weight.data());
               for (std::size_t i = 0; i < n; ++i) weight[i] *= mass_[p + i];
               kernels<DenseKernels>().accumulate(tile, weight.data(), size(), lanes);
             });
}

// Lower triangle, a panel of columns to a task; a task's rows start at its diagonal. Points of less
// mass than `least` are left out.
std::vector<double> EntropicDual::dense_hessian(std::span<const double> mass,
                                                std::span<const double> penalty, double least,
                                                int threads) const {
  const std::size_t n = size(), panels = (n + dense_panel - 1) / dense_panel;
  std::vector<std::size_t> heavy;
  for (std::size_t p = 0; p < points(); ++p) {
    if (mass[p] >= least) heavy.push_back(p);
  }
  const bool all = 4 * heavy.size() > 3 * points();  // too many for a copy to pay
  const std::size_t tiles = tiles_of(all ? points() : heavy.size());
  std::vector<double> gathered, weight(tiles * dense_tile, 0.0);
  if (all) {
    std::copy(mass.begin(), mass.end(), weight.begin());
  } else {
    gathered.assign(tiles * n * dense_tile, 0.0);
    for (std::size_t k = 0; k < heavy.size(); ++k) {
      const std::size_t p = heavy[k];
      weight[k] = mass[p];
      const double* from = &dense_[p / dense_tile * n * dense_tile + p % dense_tile];
      double* to = &gathered[k / dense_tile * n * dense_tile + k % dense_tile];
      for (std::size_t i = 0; i < n; ++i) to[i * dense_tile] = from[i * dense_tile];
    }
  }
  const double* features = all ? dense_.data() : gathered.data();
  std::vector<double> h(n * n, 0.0);
  std::vector<std::vector<double>> blocks(panels), packed(panels);
  for (std::size_t i = 0; i < panels; ++i) {
    blocks[i].resize((n - i * dense_panel) * dense_panel);
    packed[i].resize(dense_tile * dense_panel);
  }
  const double work = 0.05 * double(n) * double(n) * double(weight.size());
  parallel_for(panels, threads_for(work, threads), [&](std::size_t task) noexcept {
    const std::size_t first = task * dense_panel, columns = std::min(dense_panel, n - first);
    for (std::size_t k = 0; k < tiles; ++k) {
      kernels<DenseKernels>().add_products(features + (k * n + first) * dense_tile, n - first,
                                           columns, &weight[k * dense_tile], packed[task].data(),
                                           blocks[task].data());
    }
    for (std::size_t r = first; r < n; ++r) {
      const std::size_t used = std::min(columns, r - first + 1);
      std::copy_n(&blocks[task][(r - first) * dense_panel], used, &h[r * n + first]);
    }
  });
  for (std::size_t i = 0; i < n; ++i) h[i * n + i] += penalty[i];
  return h;
}

}  // namespace recouple
