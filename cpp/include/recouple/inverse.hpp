// Recovering a plan on the line: the entropic dual with spline moments.
//
// The law p_t of X_t = a X0 + b X1 is the projection of the plan pi on (a, b). Its moments in
// B-splines are linear in pi, and the plan sought is
//   argmin KL(pi || ref) + sum_i (E_pi[B_i] - g_i)^2 / (2 lambda_i)
// on a tensor grid, which is pi = ref * exp(sum_i theta_i B_i) with theta the maximiser of a smooth
// concave function, found by damped Newton. Its linear systems are solved by conjugate gradients
// preconditioned by the Cholesky factor of an earlier Hessian, which is made anew when it is too
// far from the present one. Errors common to many moments, with covariance U'U beside the diagonal
// of the lambda_i, make the penalty term |U theta|^2 / 2 more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "recouple/parallel.hpp"

namespace recouple {

// B-splines of one time as test functions of a X0 + b X1: equally spaced knots, `intervals` of them
// from `first`, and intervals + degree splines.
struct SplineFeatures {
  double a, b;
  double first, spacing;
  std::size_t intervals;

  std::size_t count(int degree) const noexcept { return intervals + std::size_t(degree); }
  double last() const noexcept { return first + spacing * double(intervals); }
};

// Abscissae at which a cdf must be known for spline_moments_of_cdf: `nodes` Gauss-Legendre points
// in each knot interval (at most 8).
std::vector<double> moment_abscissae(const SplineFeatures& features, int nodes);

// Moments int B_m dF of the law with the given cdf at moment_abscissae(features, nodes), by parts.
// Exact up to the quadrature of F against splines of degree - 1.
std::vector<double> spline_moments_of_cdf(const SplineFeatures& features, int degree, int nodes,
                                          std::span<const double> cdf);

// Weighted sample means of the splines and the variances of those means. Weights sum to 1.
struct SampleMoments {
  std::vector<double> mean, variance;
};
SampleMoments spline_moments_of_samples(const SplineFeatures& features, int degree,
                                        std::span<const double> samples,
                                        std::span<const double> weights);

enum class DualStatus { converged, stalled, iteration_limit, interrupted };
std::string_view name(DualStatus status) noexcept;

struct DualOptions {
  int max_iterations = 60;
  double decrement = 1e-10;  // stop when half the squared Newton decrement is below this
  int threads = 0;
};

struct DualStage {
  DualStatus status;
  int iterations;
  double residual;    // root mean square of E_pi[B_i] - g_i
  double divergence;  // KL(pi || ref)
};

// The dual problem on one grid; remembers theta, so that a sequence of solves is warm started. One
// object serves one thread at a time.
class EntropicDual {
 public:
  // reference: masses, row-major (x0.size(), x1.size()), not negative. features: one entry per
  // time. Throws std::invalid_argument on mismatched sizes, an empty problem or a degree outside
  // [1, 7].
  EntropicDual(std::span<const double> x0, std::span<const double> x1,
               std::span<const double> reference, std::vector<SplineFeatures> features, int degree);

  // The same dual over any points: features are rows of values at them, (n, points).
  EntropicDual(std::span<const double> reference, std::span<const double> features);

  std::size_t points() const noexcept { return reference_.size(); }
  std::size_t size() const noexcept { return offset_.back(); }  // number of features in all

  // Maximises theta.g - sum pi - sum lambda theta^2 / 2 from the present theta. A stage that ends
  // badly leaves the best theta it saw, never a diverged one.
  DualStage solve(std::span<const double> moments, std::span<const double> penalty,
                  const DualOptions& options, const Progress& progress = {});

  std::span<const double> mass() const noexcept { return mass_; }
  std::span<const double> theta() const noexcept { return theta_; }
  void set_theta(std::span<const double> theta, int threads = 0);

  // Rows U (any number, size()) of the penalty diag(lambda) + U'U, in all that follows.
  void set_common(std::span<const double> rows);

  // E_pi[B_i] for all features.
  std::vector<double> moments(int threads = 0) const;

  // For each functional f (rows of `functionals`, values at the grid points) under the normalised
  // mass at the present theta and penalty: E f, its standard deviation under independent data noise
  // of the given variance per feature, the part of Var f that the features see at this penalty,
  // Var f, and d E f / d g.
  struct Uncertainty {
    double mean, standard_error, resolved, variance;
    std::vector<double> sensitivity;
  };
  std::vector<Uncertainty> uncertainty(std::span<const double> functionals,
                                       std::span<const double> penalty,
                                       std::span<const double> noise_variance,
                                       int threads = 0) const;

  // How theta answers changes of the moments, d theta = H^-1 dg: one row each.
  std::vector<double> responses(std::span<const double> changes, std::span<const double> penalty,
                                int threads = 0) const;

 private:
  std::vector<double> factor(std::span<const double> penalty, int threads) const;
  void update_mass(std::span<const double> theta, std::span<double> mass, int threads) const;
  void moments_of(std::span<const double> mass, std::span<double> moments, int threads) const;
  std::vector<double> hessian(std::span<const double> mass, std::span<const double> penalty,
                              double least, int threads) const;
  void multiply(std::span<const double> x, std::span<const double> penalty, std::span<double> image,
                int threads) const;
  template <class Finish>
  void sweep(std::span<const double> theta, int threads, const Finish& finish) const;

  void update_dense(std::span<const double> theta, std::span<double> mass, int threads) const;
  void dense_moments(std::span<const double> mass, std::span<double> moments, int threads) const;
  std::vector<double> dense_hessian(std::span<const double> mass, std::span<const double> penalty,
                                    double least, int threads) const;
  void dense_multiply(std::span<const double> x, std::span<double> image, int threads) const;

  bool newton_step(std::span<const double> gradient, std::span<const double> penalty,
                   std::span<double> step, int threads);
  bool conjugate_gradients(std::span<const double> gradient, std::span<const double> penalty,
                           std::span<double> step, int threads) const;

  void add_common(std::span<const double> x, std::span<double> image) const;  // U'U x
  void add_common(std::span<double> hessian, int threads) const;              // lower triangle

  int degree_;
  std::vector<double> common_;  // U
  std::vector<double> dense_;   // values of features that are not splines
  std::vector<SplineFeatures> features_;
  std::vector<std::size_t> offset_;  // of each time's features, and the total
  std::vector<double> reference_, mass_, theta_;
  std::vector<std::vector<std::int32_t>> start_;
  std::vector<std::vector<double>> value_;
  // An earlier Hessian without its penalty, and its factor with penalty_.
  std::vector<double> earlier_, factor_, penalty_;
};

}  // namespace recouple
