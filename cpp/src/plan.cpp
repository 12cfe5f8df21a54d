#include "recouple/plan.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace recouple {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

std::string index(const char* name, std::size_t i) {
  return std::string(name) + "[" + std::to_string(i) + "]";
}

void require_grid_points(std::span<const double> x, const char* name) {
  require(x.size() >= 4,
          std::string(name) + " must have at least 4 points, got " + std::to_string(x.size()));
  const double h = (x.back() - x.front()) / double(x.size() - 1);
  require(std::isfinite(h) && h > 0, std::string(name) + " must be finite and increasing");
  for (std::size_t i = 0; i < x.size(); ++i) {
    require(std::abs(x[i] - (x.front() + double(i) * h)) <= 1e-6 * h,
            std::string(name) + " must be equally spaced: " + index(name, i) + " = " +
                std::to_string(x[i]) + " is off by more than 1e-6 of the spacing");
  }
}

}  // namespace

MixturePlan make_mixture_plan(std::span<const double> weights, std::span<const double> means,
                              std::span<const double> covs) {
  const std::size_t n = weights.size();
  require(n > 0, "weights must not be empty");
  require(means.size() == 2 * n, "means must have shape (n, 2) with one row per weight");
  require(covs.size() == 4 * n, "covs must have shape (n, 2, 2) with one block per weight");
  double total = 0;
  for (std::size_t k = 0; k < n; ++k) {
    require(std::isfinite(weights[k]) && weights[k] >= 0,
            index("weights", k) + " must be finite and not negative, got " +
                std::to_string(weights[k]));
    total += weights[k];
  }
  require(std::isfinite(total) && total > 0, "weights must have a positive, finite sum");

  MixturePlan plan;
  for (std::size_t k = 0; k < n; ++k) {
    const double* m = &means[2 * k];
    const double* c = &covs[4 * k];
    require(std::isfinite(m[0]) && std::isfinite(m[1]), index("means", k) + " must be finite");
    require(
        std::isfinite(c[0]) && std::isfinite(c[1]) && std::isfinite(c[2]) && std::isfinite(c[3]),
        index("covs", k) + " must be finite");
    const double scale = std::sqrt(std::max(c[0], 0.0) * std::max(c[3], 0.0));
    require(std::abs(c[1] - c[2]) <= 1e-12 * std::max(scale, std::abs(c[1])),
            index("covs", k) + " must be symmetric");
    const double half = 0.5 * (c[0] + c[3]);
    const double smallest = half - std::hypot(0.5 * (c[0] - c[3]), c[1]);
    require(c[0] >= 0 && c[3] >= 0 && smallest >= -1e-12 * std::max(half, 0.0),
            index("covs", k) + " must be positive semidefinite, its smallest eigenvalue is " +
                std::to_string(smallest));
    if (weights[k] == 0) continue;
    plan.weights.push_back(weights[k] / total);
    plan.mean0.push_back(m[0]);
    plan.mean1.push_back(m[1]);
    plan.cov00.push_back(c[0]);
    plan.cov01.push_back(std::clamp(c[1], -scale, scale));
    plan.cov11.push_back(c[3]);
  }
  return plan;
}

GridPlan make_grid_plan(std::span<const double> x0, std::span<const double> x1,
                        std::span<const double> mass) {
  require_grid_points(x0, "x0");
  require_grid_points(x1, "x1");
  require(mass.size() == x0.size() * x1.size(), "mass must have shape (len(x0), len(x1))");
  double total = 0;
  for (std::size_t i = 0; i < mass.size(); ++i) {
    require(std::isfinite(mass[i]) && mass[i] >= 0,
            "mass must be finite and not negative, got " + std::to_string(mass[i]) + " at [" +
                std::to_string(i / x1.size()) + ", " + std::to_string(i % x1.size()) + "]");
    total += mass[i];
  }
  require(std::isfinite(total) && total > 0, "mass must have a positive, finite sum");
  GridPlan plan{{x0.begin(), x0.end()}, {x1.begin(), x1.end()}, {mass.begin(), mass.end()}};
  for (double& m : plan.mass) m /= total;
  return plan;
}

}  // namespace recouple
