// Fitting a Gaussian mixture plan to a field: the sums of an EM step and the Jacobian of a
// Gauss-Newton step.
//
// Component k has weight w_k, mean m_k (2D) and covariance Sigma_k = L_k L_k' of (X0, X1). With
// M = [(1-t) I, t I] and N = [-I, I], X_t has mean M m_k and covariance S_k = M Sigma_k M', and
//   v(t, x) = sum_k r_k u_k,   u_k = N m_k + N Sigma_k M' S_k^-1 (x - M m_k),
// r_k the posterior weights of the components at x.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace recouple {

// Points (count, dim) grouped by time: those from first[k] to first[k + 1] are of times[k].
struct TimedPoints {
  std::size_t dim;
  std::span<const double> times;
  std::span<const std::size_t> first;
  std::span<const double> x;

  std::size_t count() const noexcept { return x.size() / dim; }
};

// weights (K), means (K, 2D), factors (K, 2D, 2D) lower triangular with positive diagonals.
struct MixtureFactors {
  std::span<const double> weights, means, factors;

  std::size_t size() const noexcept { return weights.size(); }
};

// Parameters per component: log weight, mean, and the rows of L up to the diagonal, whose entry
// counts by its logarithm.
constexpr std::size_t mixture_parameters(std::size_t dim) noexcept {
  return 1 + 2 * dim + dim * (2 * dim + 1);
}

// One EM step from (t, x) alone, with X_t the observed part of (X0, X1); covariances get `floor`
// added to their diagonals. False where a component died or a covariance lost definiteness.
struct MixtureUpdate {
  std::vector<double> weights, means, covs;
  double log_likelihood;  // before the step
  bool good;
};
MixtureUpdate mixture_em_step(const TimedPoints& points, const MixtureFactors& mixture,
                              double floor, int threads = 0);

// Velocity (count, dim), log density (count), and their derivatives along all parameters, rows of
// K * mixture_parameters(dim): `jacobian` has count * dim rows, `scores` count. Empty spans are
// left out. Throws std::invalid_argument if a covariance S_k is not positive definite.
void mixture_jacobian(const TimedPoints& points, const MixtureFactors& mixture,
                      std::span<double> velocity, std::span<double> log_density,
                      std::span<double> jacobian, std::span<double> scores, int threads = 0);

// r_k (count, K) and r_k S_k^-1 (x - M m_k) (count, K, dim).
void mixture_posterior(const TimedPoints& points, const MixtureFactors& mixture,
                       std::span<double> shares, std::span<double> pulls, int threads = 0);

}  // namespace recouple
