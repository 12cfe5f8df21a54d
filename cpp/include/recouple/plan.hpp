// Plans: joint laws of (X0, X1). Plain values, checked once by their named constructors.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace recouple {

// Mixture of Gaussians on R^2, the joint law of (X0, X1) for D = 1; a Gaussian plan is one
// component. All arrays have one entry per component; weights are positive and sum to 1.
struct MixturePlan {
  std::vector<double> weights;
  std::vector<double> mean0, mean1;
  std::vector<double> cov00, cov01, cov11;

  std::size_t size() const noexcept { return weights.size(); }
};

// means is row-major (n, 2), covs row-major (n, 2, 2). Weights are normalised; components of weight
// zero are dropped. Throws std::invalid_argument on a size mismatch, a non-finite entry, a negative
// weight or zero total, and on a covariance that is asymmetric or not positive semidefinite.
MixturePlan make_mixture_plan(std::span<const double> weights, std::span<const double> means,
                              std::span<const double> covs);

// Masses on a rectangular grid of equally spaced points, row-major (x0.size(), x1.size()).
//
// Read as a density the plan is the cubic spline through mass / (h0 h1) at the grid points, zero
// outside the grid: the accuracy of marginals and fields is O(h^4) for smooth densities.
struct GridPlan {
  std::vector<double> x0, x1;
  std::vector<double> mass;

  double spacing0() const noexcept { return (x0.back() - x0.front()) / double(x0.size() - 1); }
  double spacing1() const noexcept { return (x1.back() - x1.front()) / double(x1.size() - 1); }
};

// Masses are normalised. Throws std::invalid_argument on fewer than 4 points a side, points that
// are not equally spaced and increasing, and masses that are negative, non-finite or all zero.
GridPlan make_grid_plan(std::span<const double> x0, std::span<const double> x1,
                        std::span<const double> mass);

}  // namespace recouple
