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

// Weights that sum to 1, without those of weight zero; `kept` lists which remain.
std::vector<double> normalised(std::span<const double> weights, std::vector<std::size_t>& kept) {
  double total = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    require(std::isfinite(weights[k]) && weights[k] >= 0,
            index("weights", k) + " must be finite and not negative, got " +
                std::to_string(weights[k]));
    total += weights[k];
  }
  require(std::isfinite(total) && total > 0, "weights must have a positive, finite sum");
  std::vector<double> result;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (weights[k] == 0) continue;
    kept.push_back(k);
    result.push_back(weights[k] / total);
  }
  return result;
}

// Eigenvalues (on the diagonal of `a` afterwards) and eigenvectors (columns of `v`) of a symmetric
// n x n matrix by Jacobi's cyclic rotations.
void jacobi_eigen(std::size_t n, std::vector<double>& a, std::vector<double>& v) {
  v.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 40; ++sweep) {
    double off = 0, all = 0;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        all += a[i * n + j] * a[i * n + j];
        if (i != j) off += a[i * n + j] * a[i * n + j];
      }
    }
    if (off <= 1e-32 * all) return;
    for (std::size_t p = 0; p + 1 < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        const double apq = a[p * n + q];
        if (apq == 0) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::hypot(theta, 1.0));
        const double c = 1 / std::hypot(t, 1.0), s = t * c;
        const auto rotate = [&](double& x, double& y) {
          const double u = x;
          x = c * u - s * y;
          y = s * u + c * y;
        };
        for (std::size_t k = 0; k < n; ++k) rotate(a[k * n + p], a[k * n + q]);
        for (std::size_t k = 0; k < n; ++k) rotate(a[p * n + k], a[q * n + k]);
        for (std::size_t k = 0; k < n; ++k) rotate(v[k * n + p], v[k * n + q]);
      }
    }
  }
}

// A root of a symmetric positive semidefinite matrix: its Cholesky factor, or, when a pivot is
// small, eigenvectors times the roots of the eigenvalues. Those within rounding of zero are zero.
std::vector<double> semidefinite_root(std::size_t n, const double* cov, const std::string& name) {
  double scale = 0;
  for (std::size_t i = 0; i < n * n; ++i) {
    require(std::isfinite(cov[i]), name + " must be finite");
    scale = std::max(scale, std::abs(cov[i]));
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      require(std::abs(cov[i * n + j] - cov[j * n + i]) <= 1e-12 * scale,
              name + " must be symmetric");
    }
  }
  std::vector<double> root(n * n, 0.0);
  bool definite = true;
  for (std::size_t j = 0; j < n && definite; ++j) {
    for (std::size_t i = j; i < n; ++i) {
      double sum = cov[i * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= root[i * n + k] * root[j * n + k];
      if (i == j) {
        definite = sum > 1e-8 * cov[j * n + j];
        root[j * n + j] = definite ? std::sqrt(sum) : 0;
      } else if (definite) {
        root[i * n + j] = sum / root[j * n + j];
      }
    }
  }
  if (definite) return root;
  std::vector<double> values(cov, cov + n * n), vectors;
  jacobi_eigen(n, values, vectors);
  double least = values[0], largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    least = std::min(least, values[i * n + i]);
    largest = std::max(largest, values[i * n + i]);
  }
  require(
      least >= -1e-12 * largest,
      name + " must be positive semidefinite, its smallest eigenvalue is " + std::to_string(least));
  for (std::size_t j = 0; j < n; ++j) {
    const double value = values[j * n + j];
    const double length = value > 1e-14 * largest ? std::sqrt(value) : 0;
    for (std::size_t i = 0; i < n; ++i) root[i * n + j] = vectors[i * n + j] * length;
  }
  return root;
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
  const std::size_t side = means.size() / n;
  require(means.size() == side * n && side >= 2 && side % 2 == 0,
          "means must have shape (n, 2 D) with one row per weight");
  require(covs.size() == n * side * side,
          "covs must have shape (n, 2 D, 2 D) with one block per weight");
  MixturePlan plan;
  plan.dim = side / 2;
  std::vector<std::size_t> kept;
  plan.weights = normalised(weights, kept);
  for (const std::size_t k : kept) {
    const auto mean = means.subspan(k * side, side);
    const auto cov = covs.subspan(k * side * side, side * side);
    for (const double m : mean) require(std::isfinite(m), index("means", k) + " must be finite");
    const std::vector<double> root = semidefinite_root(side, cov.data(), index("covs", k));
    plan.means.insert(plan.means.end(), mean.begin(), mean.end());
    plan.covs.insert(plan.covs.end(), cov.begin(), cov.end());
    plan.roots.insert(plan.roots.end(), root.begin(), root.end());
  }
  return plan;
}

DatasetPlan make_dataset_plan(std::size_t dim, std::span<const double> data, double std,
                              std::span<const double> weights) {
  require(dim > 0 && !data.empty() && data.size() % dim == 0,
          "data must have shape (m, D) with at least one row");
  require(std::isfinite(std) && std > 0, "std must be positive, got " + std::to_string(std));
  const std::size_t m = data.size() / dim;
  require(weights.empty() || weights.size() == m, "weights must have one entry per row of data");
  for (std::size_t i = 0; i < data.size(); ++i) {
    require(std::isfinite(data[i]),
            "data must be finite, row " + std::to_string(i / dim) + " is not");
  }
  const std::vector<double> equal(weights.empty() ? m : 0, 1.0);
  DatasetPlan plan{dim, std, {}, {}};
  std::vector<std::size_t> kept;
  plan.weights = normalised(weights.empty() ? std::span<const double>(equal) : weights, kept);
  plan.data.reserve(kept.size() * dim);
  for (const std::size_t k : kept) {
    const auto row = data.subspan(k * dim, dim);
    plan.data.insert(plan.data.end(), row.begin(), row.end());
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
  require(plan.dim == 1, "conditional draws are for plans on the line");
  std::vector<double> offset(components), slope(components), spread(components);
  for (std::size_t k = 0; k < components; ++k) {
    const double* cov = &plan.covs[4 * k];
    require(cov[0] > 0, "conditional draws need a spread of X0 in every component");
    offset[k] = std::log(plan.weights[k]) - 0.5 * std::log(cov[0]);
    slope[k] = cov[1] / cov[0];
    spread[k] = std::sqrt(std::max(cov[3] - slope[k] * cov[1], 0.0));
  }
  const auto draw = [&](std::size_t i) noexcept {
    const auto log_share = [&](std::size_t k) noexcept {
      const double d = x0[i] - plan.means[2 * k];
      return offset[k] - 0.5 * d * d / plan.covs[4 * k];
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
    x1[i] = plan.means[2 * chosen + 1] + slope[chosen] * (x0[i] - plan.means[2 * chosen]) +
            spread[chosen] * z[i];
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
