#include "recouple/plan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "recouple/parallel.hpp"

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

// Coefficients c of the cubic B-spline through y (zero beyond both ends): the solution of
// (c[i-1] + 4 c[i] + c[i+1]) / 6 = y[i], by elimination of the tridiagonal system.
void spline_coefficients(std::span<const double> y, std::span<double> c) {
  const std::size_t n = y.size();
  std::vector<double> ratio(n);
  double previous = 0, previous_ratio = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double pivot = 4 - previous_ratio;
    previous = c[i] = (6 * y[i] - previous) / pivot;
    previous_ratio = ratio[i] = 1 / pivot;
  }
  for (std::size_t i = n - 1; i-- > 0;) c[i] -= ratio[i] * c[i + 1];
}

// The cell of a grid that holds a point, and the weights there of the four splines around it.
struct SplineWeights {
  SplineWeights(double u, std::size_t points) noexcept
      : inside(u >= 0 && u <= double(points - 1)),
        cell(inside ? std::min(static_cast<std::size_t>(u), points - 2) : 0) {
    const double f = u - double(cell), g = 1 - f;
    w[0] = g * g * g / 6;
    w[1] = (4 - 3 * f * f * (1 + g)) / 6;
    w[2] = (4 - 3 * g * g * (1 + f)) / 6;
    w[3] = f * f * f / 6;
  }
  double dot(const double* c) const noexcept {
    return w[0] * c[0] + w[1] * c[1] + w[2] * c[2] + w[3] * c[3];
  }
  bool inside;
  std::size_t cell;
  double w[4];
};

// Solves s (a + s (c2 + s c3)) = rest for s in [0, 1], where the left side increases from 0 to d.
double cubic_quantile(double a, double b, double d, double rest) noexcept {
  const double c2 = 3 * d - 2 * a - b, c3 = a + b - 2 * d;
  double low = 0, high = 1, s = std::clamp(rest / d, 0.0, 1.0);
  for (int iteration = 0; iteration < 60 && high - low > 1e-16; ++iteration) {
    const double f = s * (a + s * (c2 + s * c3)) - rest;
    (f < 0 ? low : high) = s;
    const double next = s - f / (a + s * (2 * c2 + 3 * s * c3));
    if (std::abs(next - s) <= 1e-16) return s;
    s = next > low && next < high ? next : 0.5 * (low + high);
  }
  return s;
}

constexpr std::size_t draws_per_task = 512;

std::size_t tasks(std::size_t n) noexcept {
  return (n + draws_per_task - 1) / draws_per_task;
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

GridDensity::GridDensity(const GridPlan& plan)
    : n0(plan.x0.size()),
      n1(plan.x1.size()),
      x0(plan.x0.front()),
      x1(plan.x1.front()),
      h0(plan.spacing0()),
      h1(plan.spacing1()),
      mean0(0),
      mean1(0),
      along0(n1 * (n0 + 2)),
      along1(n0 * (n1 + 2)),
      both((n1 + 2) * (n0 + 2)) {
  const double cell = h0 * h1;
  const std::size_t w0 = n0 + 2, w1 = n1 + 2;
  std::vector<double> column(std::max(n0, n1));
  const std::span<double> line0(column.data(), n0), line1(column.data(), n1);
  for (std::size_t i = 0; i < n0; ++i) {
    for (std::size_t j = 0; j < n1; ++j) {
      const double m = plan.mass[i * n1 + j];
      mean0 += m * plan.x0[i];
      mean1 += m * plan.x1[j];
      line1[j] = m / cell;
    }
    spline_coefficients(line1, std::span(along1).subspan(i * w1 + 1, n1));
  }
  for (std::size_t j = 0; j < n1; ++j) {
    for (std::size_t i = 0; i < n0; ++i) line0[i] = plan.mass[i * n1 + j] / cell;
    spline_coefficients(line0, std::span(along0).subspan(j * w0 + 1, n0));
  }
  std::vector<double> coefficients(n1);
  for (std::size_t i = 1; i + 1 < w0; ++i) {
    for (std::size_t j = 0; j < n1; ++j) line1[j] = along0[j * w0 + i];
    spline_coefficients(line1, coefficients);
    for (std::size_t j = 0; j < n1; ++j) both[(j + 1) * w0 + i] = coefficients[j];
  }
}

double GridDensity::operator()(double y0, double y1) const noexcept {
  const SplineWeights s0((y0 - x0) / h0, n0), s1((y1 - x1) / h1, n1);
  if (!s0.inside || !s1.inside) return 0;
  double sum = 0;
  for (std::size_t k = 0; k < 4; ++k) {
    sum += s1.w[k] * s0.dot(&both[(s1.cell + k) * (n0 + 2) + s0.cell]);
  }
  return std::max(sum, 0.0);
}

void GridDensity::slice(double y0, std::span<double> p) const noexcept {
  const SplineWeights s((y0 - x0) / h0, n0);
  for (std::size_t j = 0; j < n1; ++j) {
    p[j] = s.inside ? std::max(s.dot(&along0[j * (n0 + 2) + s.cell]), 0.0) : 0.0;
  }
}

void sample_conditional(const MixturePlan& plan, std::span<const double> x0,
                        std::span<const double> u, std::span<const double> z, std::span<double> x1,
                        int threads) {
  const std::size_t components = plan.size();
  std::vector<double> offset(components), slope(components), spread(components);
  for (std::size_t k = 0; k < components; ++k) {
    offset[k] = std::log(plan.weights[k]) - 0.5 * std::log(plan.cov00[k]);
    slope[k] = plan.cov01[k] / plan.cov00[k];
    spread[k] = std::sqrt(std::max(plan.cov11[k] - slope[k] * plan.cov01[k], 0.0));
  }
  const auto draw = [&](std::size_t i) noexcept {
    const auto log_share = [&](std::size_t k) noexcept {
      const double d = x0[i] - plan.mean0[k];
      return offset[k] - 0.5 * d * d / plan.cov00[k];
    };
    std::size_t chosen = 0;
    if (components > 1) {
      double top = -std::numeric_limits<double>::infinity(), total = 0;
      for (std::size_t k = 0; k < components; ++k) top = std::max(top, log_share(k));
      for (std::size_t k = 0; k < components; ++k) total += std::exp(log_share(k) - top);
      double left = u[i] * total;
      for (; chosen + 1 < components; ++chosen) {
        left -= std::exp(log_share(chosen) - top);
        if (left < 0) break;
      }
    }
    x1[i] =
        plan.mean1[chosen] + slope[chosen] * (x0[i] - plan.mean0[chosen]) + spread[chosen] * z[i];
  };
  const double work = double(x0.size()) * (5 + 20 * double(components));
  parallel_for(tasks(x0.size()), threads_for(work, threads), [&](std::size_t task) noexcept {
    const std::size_t last = std::min(x0.size(), (task + 1) * draws_per_task);
    for (std::size_t i = task * draws_per_task; i < last; ++i) draw(i);
  });
}

void sample_conditional(const GridDensity& g, std::span<const double> x0, std::span<const double> u,
                        std::span<double> x1, int threads) {
  const auto draw = [&](std::size_t i) noexcept {
    const SplineWeights s((x0[i] - g.x0) / g.h0, g.n0);
    const auto density =
        [&](std::size_t j) noexcept {  // j = 0 stands for the point before the grid
          if (!s.inside || j == 0 || j > g.n1) return 0.0;
          return std::max(s.dot(&g.along0[(j - 1) * (g.n0 + 2) + s.cell]), 0.0);
        };
    const auto cell = [](double before, double left, double right, double after) noexcept {
      return std::max(13 * (left + right) - before - after, 0.0) / 24;
    };
    double total = 0;
    {
      double before = 0, left = density(1), right = density(2);
      for (std::size_t j = 1; j < g.n1; ++j) {
        const double after = density(j + 2);
        total += cell(before, left, right, after);
        before = left, left = right, right = after;
      }
    }
    double rest = u[i] * total, previous = 0;
    double before = 0, left = density(1), right = density(2), after = density(3);
    for (std::size_t j = 1; j < g.n1; ++j) {
      const double mass = cell(before, left, right, after), beyond = density(j + 3);
      if ((rest < mass || j + 1 == g.n1) && mass > 0) {
        const double next = j + 1 < g.n1 ? cell(left, right, after, beyond) : 0;
        const double a = std::min(left, 3 * std::min(previous, mass));
        const double b = std::min(right, 3 * std::min(mass, next));
        x1[i] = g.x1 + g.h1 * (double(j - 1) + cubic_quantile(a, b, mass, std::min(rest, mass)));
        return;
      }
      rest -= mass;
      previous = mass, before = left, left = right, right = after, after = beyond;
    }
    // Rounding may carry u past the last cell with mass; without any mass there is no draw.
    x1[i] = total > 0 ? g.x1 + g.h1 * double(g.n1 - 1) : std::numeric_limits<double>::quiet_NaN();
  };
  const double work = 10.0 * double(x0.size()) * double(g.n1);
  parallel_for(tasks(x0.size()), threads_for(work, threads), [&](std::size_t task) noexcept {
    const std::size_t last = std::min(x0.size(), (task + 1) * draws_per_task);
    for (std::size_t i = task * draws_per_task; i < last; ++i) draw(i);
  });
}

}  // namespace recouple
