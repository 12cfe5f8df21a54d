// The field of a Gaussian-mixture plan in R^D.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "recouple/interpolant.hpp"
#include "recouple/plan.hpp"

namespace recouple {

// With m_k, S_k the mean and covariance of X_t in component k and d_k, K_k the mean of dX_t/dt and
// its covariance with X_t,
//   v(t, x) = sum_k r_k (d_k + K_k S_k^+ (x - m_k)),   r_k ~ w_k N(x; m_k, S_k).
//
// S_k = M M' with M = a R0 + b R1, (R0; R1) the root of the joint covariance, and everything is
// computed from an orthogonal factor of M, so that relative accuracy survives where X_t is nearly
// singular. Where it is singular, points off its support count by their distance from it.
// What depends on t alone is kept from one block to the next.
class MixtureFieldND {
 public:
  MixtureFieldND(MixturePlan plan, Interpolant interpolant);
  std::size_t dim() const noexcept { return plan_.dim; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept;
  double cost_ns() const noexcept;

  // Log density of X_t (n), its gradient (n, D) and Cov(dX_t/dt | X_t = x) (n, D, D).
  void local(double t, std::span<const double> x, std::span<double> log_density,
             std::span<double> score, std::span<double> covariance) const;

 private:
  struct Prepared;
  struct Cache;
  std::shared_ptr<const Prepared> prepare(double t) const;

  MixturePlan plan_;
  Interpolant interpolant_;
  double scale_;
  std::shared_ptr<Cache> cache_;
};

}  // namespace recouple
