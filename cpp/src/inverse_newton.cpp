// The entropic dual's way up: damped Newton steps.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "recouple/cholesky.hpp"
#include "recouple/inverse.hpp"

namespace recouple {
namespace {

// Conjugate gradients go on to this relative error in the norm of the Hessian, which costs Newton's
// method next to nothing. An iteration is some fifteen times cheaper than a new factor, and the
// right to go on has to be earned early.
constexpr double relative_error = 0.1, early_error = 0.5;
constexpr int most_iterations = 8, early = 3;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

double dot(std::span<const double> a, std::span<const double> b) noexcept {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

}  // namespace

std::string_view name(DualStatus status) noexcept {
  switch (status) {
    case DualStatus::converged:
      return "converged";
    case DualStatus::stalled:
      return "stalled";
    case DualStatus::iteration_limit:
      return "iteration limit";
    default:
      return "interrupted";
  }
}

// H x = rhs with the Hessian at the present mass. False if the factor is too far from it.
bool EntropicDual::conjugate_gradients(std::span<const double> rhs, std::span<const double> penalty,
                                       std::span<const double> factor, std::span<double> x,
                                       int threads) const {
  const std::size_t n = size();
  std::vector<double> r(rhs.begin(), rhs.end()), z(r), p, q(n), weighted(points());
  std::fill(x.begin(), x.end(), 0.0);
  cholesky_solve(factor, n, z);
  p = z;
  const double first = dot(r, z);
  double now = first;
  for (int iteration = 1; iteration <= most_iterations; ++iteration) {
    weigh(p, weighted, threads);
    moments_of(weighted, q, threads);
    for (std::size_t i = 0; i < n; ++i) q[i] += penalty[i] * p[i];
    const double length = now / dot(p, q);
    for (std::size_t i = 0; i < n; ++i) x[i] += length * p[i], r[i] -= length * q[i];
    z = r;
    cholesky_solve(factor, n, z);
    const double next = dot(r, z);
    if (!(next >= 0)) return false;
    if (next <= relative_error * relative_error * first) return true;
    if (iteration == early && next > early_error * early_error * first) return false;
    for (std::size_t i = 0; i < n; ++i) p[i] = z[i] + next / now * p[i];
    now = next;
  }
  return false;
}

// The step H^-1 gradient, by the last factor if that still serves. False if H is not positive
// definite.
bool EntropicDual::newton_step(std::span<const double> gradient, std::span<const double> penalty,
                               std::vector<double>& factor, std::span<double> step,
                               int threads) const {
  if (!factor.empty() && conjugate_gradients(gradient, penalty, factor, step, threads)) return true;
  factor = hessian(mass_, penalty, threads);
  if (!cholesky(factor, size(), threads)) return false;
  std::copy(gradient.begin(), gradient.end(), step.begin());
  cholesky_solve(factor, size(), step);
  return true;
}

DualStage EntropicDual::solve(std::span<const double> moments, std::span<const double> penalty,
                              const DualOptions& options, const Progress& progress) {
  const std::size_t n = size();
  require(moments.size() == n && penalty.size() == n,
          "moments and penalty must have one entry per feature");
  for (std::size_t i = 0; i < n; ++i) {
    require(std::isfinite(moments[i]), "moments must be finite");
    require(std::isfinite(penalty[i]) && penalty[i] > 0, "penalty must be finite and positive");
  }
  const int threads = options.threads;
  std::vector<double> now(n), gradient(n), step(n), trial(n), trial_mass(points());
  update_mass(theta_, mass_, threads);

  const auto objective = [&](std::span<const double> theta, std::span<const double> mass) {
    double value = 0, total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      value += theta[i] * (moments[i] - 0.5 * penalty[i] * theta[i]);
    }
    for (const double m : mass) total += m;
    return value - total;
  };
  double value = objective(theta_, mass_);

  // A stage begins without a factor: that of the penalty before is too far from its own.
  std::vector<double> factor;
  DualStage stage{DualStatus::iteration_limit, 0, 0, 0};
  while (stage.iterations < options.max_iterations) {
    if (progress && !progress(std::size_t(stage.iterations), std::size_t(options.max_iterations))) {
      stage.status = DualStatus::interrupted;
      break;
    }
    moments_of(mass_, now, threads);
    for (std::size_t i = 0; i < n; ++i) gradient[i] = moments[i] - now[i] - penalty[i] * theta_[i];
    if (!newton_step(gradient, penalty, factor, step, threads)) {
      stage.status = DualStatus::stalled;
      break;
    }
    const double decrement = dot(gradient, step);
    ++stage.iterations;
    if (!(decrement >= 0) || !std::isfinite(decrement)) {
      stage.status = DualStatus::stalled;
      break;
    }
    // Backtracking; the slack is the rounding error of the objective.
    double length = 1;
    bool accepted = false;
    const double slack = 1e-13 * (1 + std::abs(value));
    for (int halving = 0; halving < 40 && !accepted; ++halving, length *= 0.5) {
      for (std::size_t i = 0; i < n; ++i) trial[i] = theta_[i] + length * step[i];
      update_mass(trial, trial_mass, threads);
      const double trial_value = objective(trial, trial_mass);
      if (trial_value >= value + 1e-4 * length * decrement - slack) {
        accepted = true;
        theta_.swap(trial);
        mass_.swap(trial_mass);
        value = trial_value;
      }
    }
    if (!accepted) {
      stage.status = DualStatus::stalled;
      break;
    }
    if (0.5 * decrement <= options.decrement) {
      stage.status = DualStatus::converged;
      break;
    }
  }
  moments_of(mass_, now, threads);
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += (now[i] - moments[i]) * (now[i] - moments[i]);
  stage.residual = std::sqrt(sum / double(n));
  for (std::size_t p = 0; p < points(); ++p) {
    if (mass_[p] > 0) stage.divergence += mass_[p] * std::log(mass_[p] / reference_[p]);
    stage.divergence += reference_[p] - mass_[p];
  }
  return stage;
}

}  // namespace recouple
