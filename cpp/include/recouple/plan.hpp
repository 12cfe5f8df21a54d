// Plans: joint laws of (X0, X1). Plain values, checked once by their named constructors.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace recouple {

// Mixture of K Gaussians on R^(2D), the joint law of (X0, X1); a Gaussian plan is one component.
struct MixturePlan {
  std::size_t dim;              // D
  std::vector<double> weights;  // (K), positive, summing to 1
  std::vector<double> means;    // (K, 2D)
  std::vector<double> covs;     // (K, 2D, 2D)
  std::vector<double> roots;    // (K, 2D, 2D): root root' = cov

  std::size_t size() const noexcept { return weights.size(); }
};

// D follows from the size of means. Weights are normalised; components of weight zero are dropped.
// Throws std::invalid_argument on a size mismatch, a non-finite entry, a negative weight or zero
// total, and on a covariance that is asymmetric or not positive semidefinite.
MixturePlan make_mixture_plan(std::span<const double> weights, std::span<const double> means,
                              std::span<const double> covs);

// N(0, std^2 I) times the law on the rows y_j of a data set with weights w_j.
struct DatasetPlan {
  std::size_t dim;
  double std;
  std::vector<double> data;     // (m, dim)
  std::vector<double> weights;  // (m), summing to 1

  std::size_t size() const noexcept { return weights.size(); }
};

// Empty weights stand for equal ones; rows of weight zero are dropped. Throws std::invalid_argument
// on sizes, non-finite entries, negative weights and std <= 0.
DatasetPlan make_dataset_plan(std::size_t dim, std::span<const double> data, double std,
                              std::span<const double> weights = {});

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

// The cubic spline that a grid plan stands for, in the three forms that evaluating it takes. A line
// of coefficients has one more at each end than there are grid points.
struct GridDensity {
  explicit GridDensity(const GridPlan& plan);

  // Density at one pair, zero outside the grid and where the spline undershoots.
  double operator()(double y0, double y1) const noexcept;
  // Density along x1 at the grid points of x1, for one x0; zero where it undershoots.
  void slice(double y0, std::span<double> p) const noexcept;

  std::size_t n0, n1;
  double x0, x1, h0, h1;       // first points and spacings
  double mean0, mean1;         // means of the masses
  std::vector<double> along0;  // spline along x0 on each grid line of x1, (n1, n0 + 2)
  std::vector<double> along1;  // spline along x1 on each grid line of x0, (n0, n1 + 2)
  std::vector<double> both;    // spline along both, (n1 + 2, n0 + 2)
};

// One draw of X1 given each X0 = x0[i], from u[i] uniform on [0, 1) and z[i] standard normal. D =
// 1, and no component may have a constant X0.
void sample_conditional(const MixturePlan& plan, std::span<const double> x0,
                        std::span<const double> u, std::span<const double> z, std::span<double> x1,
                        int threads = 0);

// The same by inversion of the conditional law: a monotone cubic through the density, cumulated
// along x1. Where the plan has no mass at x0[i] the draw is NaN.
void sample_conditional(const GridDensity& density, std::span<const double> x0,
                        std::span<const double> u, std::span<double> x1, int threads = 0);

}  // namespace recouple
