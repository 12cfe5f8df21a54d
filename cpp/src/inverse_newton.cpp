// The entropic dual's way up: damped Newton steps.
#include <algorithm>
#include <cmath>
#include <utility>

#include "inverse_shared.hpp"
#include "recouple/cholesky.hpp"
#include "recouple/inverse.hpp"

namespace recouple {
namespace {

// Part of the residual of Newton's equation that conjugate gradients may leave, in the norm of the
// preconditioner, and the products with the Hessian they may take for it before a new one is the
// better way. Beside a Hessian of splines, which is sparse, products are dear.
struct Limits {
  double forcing;
  int products;
};
constexpr Limits splines{0.1, 8}, dense_features{0.05, 24};

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

// Solves H step = gradient at the present mass, by conjugate gradients preconditioned by factor_.
// False if that takes too many products with H.
bool EntropicDual::conjugate_gradients(std::span<const double> gradient,
                                       std::span<const double> penalty, std::span<double> step,
                                       int threads) const {
  const std::size_t n = size();
  const auto [forcing, most] = dense_.empty() ? splines : dense_features;
  std::vector<double> residual(gradient.begin(), gradient.end()), better(n), along(n), image(n);
  const auto precondition = [&] {
    better = residual;
    cholesky_solve(factor_, n, better);
    return dot(residual, better);
  };
  std::fill(step.begin(), step.end(), 0.0);
  const double enough = forcing * forcing * precondition();
  double before = 0;
  for (int k = 0;; ++k) {
    const double size = precondition();
    if (size <= enough) return true;
    if (k == most || !std::isfinite(size)) return false;
    const double share = k == 0 ? 0.0 : size / before;
    for (std::size_t i = 0; i < n; ++i) along[i] = better[i] + share * along[i];
    before = size;
    multiply(along, penalty, image, threads);
    const double length = size / dot(along, image);
    for (std::size_t i = 0; i < n; ++i) {
      step[i] += length * along[i];
      residual[i] -= length * image[i];
    }
  }
}

// Newton's step H^-1 gradient, by an earlier Hessian as long as that serves: with splines one of
// the same penalty, otherwise with its penalty brought up to date. False if the Hessian is not
// positive definite.
bool EntropicDual::newton_step(std::span<const double> gradient, std::span<const double> penalty,
                               std::span<double> step, int threads) {
  const std::size_t n = size();
  bool fresh = false;
  const auto refactor = [&] {
    if (earlier_.empty()) {
      // What is left out adds about the least penalty, at most, to a diagonal entry.
      const double least = *std::min_element(penalty.begin(), penalty.end()) / double(points());
      earlier_ = hessian(mass_, std::vector<double>(n, 0.0), least, threads);
      add_common(earlier_, threads);
      fresh = true;
    }
    factor_ = dense_.empty() ? std::exchange(earlier_, {}) : earlier_;
    for (std::size_t i = 0; i < n; ++i) factor_[i * n + i] += penalty[i];
    penalty_.assign(penalty.begin(), penalty.end());
    if (cholesky(factor_, n, threads)) return true;
    penalty_.clear();
    earlier_.clear();
    return false;
  };
  const bool known = std::equal(penalty.begin(), penalty.end(), penalty_.begin(), penalty_.end());
  if (!known && !refactor()) return false;
  while (!conjugate_gradients(gradient, penalty, step, threads)) {
    if (fresh) return dot(gradient, step) > 0;  // the best there is, if it leads up
    earlier_.clear();
    if (!refactor()) return false;
  }
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
    for (std::size_t first = 0; first < common_.size(); first += n) {
      const double along = dot(std::span(common_).subspan(first, n), theta);
      value -= 0.5 * along * along;
    }
    return value - total;
  };
  double value = objective(theta_, mass_);

  DualStage stage{DualStatus::iteration_limit, 0, 0, 0};
  while (stage.iterations < options.max_iterations) {
    if (progress && !progress(std::size_t(stage.iterations), std::size_t(options.max_iterations))) {
      stage.status = DualStatus::interrupted;
      break;
    }
    moments_of(mass_, now, threads);
    std::fill(gradient.begin(), gradient.end(), 0.0);
    add_common(theta_, gradient);
    for (std::size_t i = 0; i < n; ++i) {
      gradient[i] = moments[i] - now[i] - penalty[i] * theta_[i] - gradient[i];
    }
    if (!newton_step(gradient, penalty, step, threads)) {
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
