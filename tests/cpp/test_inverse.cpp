#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "recouple/inverse.hpp"

using namespace recouple;

namespace {

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::numbers::sqrt2);
}
double normal_pdf(double z) {
  return std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
}

struct Problem {
  std::vector<double> x, reference, truth, moments;
  std::vector<SplineFeatures> features;
};

// The standard Gaussian plan of correlation rho on [-5, 5]^2, its exact moments at `times` times.
Problem gaussian_problem(double rho, std::size_t n, std::size_t times, std::size_t intervals) {
  Problem p;
  const double h = 10.0 / double(n - 1);
  for (std::size_t i = 0; i < n; ++i) p.x.push_back(-5 + h * double(i));
  for (const double x : p.x) {
    for (const double y : p.x) {
      const double residual = std::sqrt(1 - rho * rho);
      p.reference.push_back(normal_pdf(x) * normal_pdf(y) * h * h);
      p.truth.push_back(normal_pdf(x) * normal_pdf((y - rho * x) / residual) / residual * h * h);
    }
  }
  for (std::size_t k = 0; k < times; ++k) {
    const double t = double(k) / double(times - 1), a = 1 - t, b = t;
    p.features.push_back({a, b, -5, 10 / double(intervals), intervals});
    const double s = std::sqrt(a * a + 2 * a * b * rho + b * b);
    std::vector<double> cdf;
    for (const double x : moment_abscissae(p.features.back(), 6)) cdf.push_back(normal_cdf(x / s));
    const auto g = spline_moments_of_cdf(p.features.back(), 5, 6, cdf);
    p.moments.insert(p.moments.end(), g.begin(), g.end());
  }
  return p;
}

double total_variation(std::span<const double> p, std::span<const double> q) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::abs(p[i] - q[i]);
  return sum / 2;
}

}  // namespace

TEST_CASE("moments of a cdf sum to one and agree with the law's integrals") {
  const SplineFeatures s{1, 0, -6, 0.5, 24};
  std::vector<double> cdf;
  for (const double x : moment_abscissae(s, 6)) cdf.push_back(normal_cdf(x));
  const auto g = spline_moments_of_cdf(s, 3, 6, cdf);
  double total = 0, mean = 0;
  for (std::size_t m = 0; m < g.size(); ++m) {
    total += g[m];
    mean += g[m] * (s.first + s.spacing * (double(m) - 1));  // Greville abscissae of cubics
  }
  CHECK(total == doctest::Approx(1).epsilon(1e-14));
  CHECK(std::abs(mean) < 1e-9);  // mass beyond 6 standard deviations counts at the ends
  const std::vector<double> sample{0.3}, weight{1.0};
  const auto at = spline_moments_of_samples(s, 3, sample, weight);
  double place = 0;
  for (std::size_t m = 0; m < g.size(); ++m) place += at.mean[m] * (-6.5 + 0.5 * double(m));
  CHECK(place == doctest::Approx(0.3).epsilon(1e-13));
}

TEST_CASE("the moments of the true plan on the grid are those of its projections") {
  Problem p = gaussian_problem(0.6, 64, 5, 24);
  EntropicDual dual(p.x, p.x, p.truth, p.features, 5);
  const auto g = dual.moments();
  // The trapezoid rule on smooth densities: what is left is the mass beyond 5 standard deviations.
  for (std::size_t i = 0; i < g.size(); ++i) CHECK(std::abs(g[i] - p.moments[i]) < 1e-6);
}

TEST_CASE("the independent plan is its own recovery and a correlated one is found") {
  for (const double rho : {0.0, 0.5, -0.7}) {
    Problem p = gaussian_problem(rho, 64, 9, 24);
    EntropicDual dual(p.x, p.x, p.reference, p.features, 5);
    for (const double lambda : {1e-4, 1e-6, 1e-8}) {
      const std::vector<double> penalty(dual.size(), lambda);
      CHECK(dual.solve(p.moments, penalty, {}).status == DualStatus::converged);
    }
    // Regularisation at lambda = 1e-8 moves these plans by less than this; the grid by 1e-6.
    CHECK(total_variation(dual.mass(), p.truth) < 1e-3);
  }
}

TEST_CASE("two threads give the bits of one") {
  Problem p = gaussian_problem(0.5, 64, 9, 24);
  std::vector<std::vector<double>> masses;
  for (const int threads : {1, 2}) {
    EntropicDual dual(p.x, p.x, p.reference, p.features, 5);
    const std::vector<double> penalty(dual.size(), 1e-5);
    dual.solve(p.moments, penalty, {.threads = threads});
    masses.emplace_back(dual.mass().begin(), dual.mass().end());
  }
  CHECK(masses[0] == masses[1]);
}

// Solved until rounding ends it, to be compared with a solution of slightly different data.
struct Solved {
  Problem p = gaussian_problem(0.5, 48, 7, 20);
  EntropicDual dual{p.x, p.x, p.reference, p.features, 5};
  std::vector<double> penalty = std::vector<double>(dual.size(), 1e-4);
  DualOptions exact{.decrement = 1e-24};
  Solved() { dual.solve(p.moments, penalty, exact); }
};

TEST_CASE("the standard error is the propagated noise of the moments") {
  auto [p, dual, penalty, exact] = Solved();
  std::vector<double> product;
  for (const double x : p.x) {
    for (const double y : p.x) product.push_back(x * y);
  }
  // Move one moment and compare the change of E[X0 X1] with its sensitivity.
  const std::size_t moved = 60;
  const double eps = 1e-7;
  std::vector<double> noise(dual.size(), 0.0);
  noise[moved] = eps * eps;
  const auto before = dual.uncertainty(product, penalty, noise)[0];
  std::vector<double> g = p.moments;
  g[moved] += eps;
  dual.solve(g, penalty, exact);
  const auto after = dual.uncertainty(product, penalty, noise)[0];
  CHECK(std::abs(after.mean - before.mean) == doctest::Approx(before.standard_error).epsilon(1e-3));
  CHECK(before.resolved > 0.9);
  CHECK(before.resolved <= 1.0);
}

TEST_CASE("the responses to changed moments are those of a new solution") {
  auto [p, dual, penalty, exact] = Solved();
  const std::vector<double> before(dual.theta().begin(), dual.theta().end());
  // Two rows of changes, one moment each; the second is half the first.
  const std::size_t n = dual.size(), moved = 60;
  const double eps = 1e-7;
  std::vector<double> changes(2 * n, 0.0);
  changes[moved] = eps;
  changes[n + moved] = eps / 2;
  const auto told = dual.responses(changes, penalty);
  std::vector<double> g = p.moments;
  g[moved] += eps;
  dual.solve(g, penalty, exact);
  double largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(told[i]));
  CHECK(largest > 10 * eps);
  for (std::size_t i = 0; i < n; ++i) {
    // First order in eps, and what is left of Newton's method.
    CHECK(std::abs(dual.theta()[i] - before[i] - told[i]) < 2e-3 * largest);
    CHECK(told[n + i] == doctest::Approx(told[i] / 2).epsilon(1e-12));
  }
  CHECK_THROWS_AS(dual.responses(std::vector<double>(n + 1, 0.0), penalty), std::invalid_argument);
}

TEST_CASE("stopping is a status and keeps what was reached") {
  Problem p = gaussian_problem(0.5, 48, 7, 20);
  EntropicDual dual(p.x, p.x, p.reference, p.features, 5);
  const std::vector<double> penalty(dual.size(), 1e-6);
  const auto stage =
      dual.solve(p.moments, penalty, {}, [](std::size_t done, std::size_t) { return done < 2; });
  CHECK(stage.status == DualStatus::interrupted);
  CHECK(stage.iterations == 2);
  for (const double m : dual.mass()) CHECK(std::isfinite(m));
}

TEST_CASE("bad input is refused before any memory is touched") {
  const SplineFeatures good{1, 0, -5, 1, 10};
  const std::vector<double> x{-1, 0, 1}, nan{0, std::nan(""), 1}, half{0.5, 0.5};
  for (const int degree : {0, 8, -1}) {
    CHECK_THROWS_AS(spline_moments_of_samples(good, degree, x, x), std::invalid_argument);
    CHECK_THROWS_AS(spline_moments_of_cdf(good, degree, 1, x), std::invalid_argument);
  }
  CHECK_THROWS_AS(moment_abscissae(good, 9), std::invalid_argument);
  CHECK_THROWS_AS(spline_moments_of_samples(good, 3, x, half), std::invalid_argument);
  CHECK_THROWS_AS(spline_moments_of_samples(good, 3, nan, x), std::invalid_argument);
  CHECK_THROWS_AS(spline_moments_of_samples({1, 0, -5, 0, 10}, 3, x, x), std::invalid_argument);
  CHECK_THROWS_AS(spline_moments_of_samples({1, 0, -5, 1, 0}, 3, x, x), std::invalid_argument);
  const std::vector<double> mass(9, 1.0 / 9), negative(9, -1.0);
  CHECK_THROWS_AS(EntropicDual(nan, x, mass, {good}, 3), std::invalid_argument);
  CHECK_THROWS_AS(EntropicDual(x, x, negative, {good}, 3), std::invalid_argument);
  CHECK_THROWS_AS(EntropicDual(x, x, x, {good}, 3), std::invalid_argument);
  CHECK_THROWS_AS(EntropicDual(x, x, mass, {}, 3), std::invalid_argument);
  EntropicDual dual(x, x, mass, {good}, 3);
  std::vector<double> g(dual.size(), 0.1), zero(dual.size(), 0.0);
  CHECK_THROWS_AS(dual.solve(g, zero, {}), std::invalid_argument);
  CHECK_THROWS_AS(dual.solve(x, x, {}), std::invalid_argument);
  CHECK_THROWS_AS(dual.uncertainty(mass, zero, g), std::invalid_argument);
}

TEST_CASE("the dual over any points meets its optimality conditions, whatever the threads") {
  const std::size_t points = 700, count = 70;  // more than a panel, and a part of one
  std::vector<double> reference(points, 1.0 / double(points)), features(count * points);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t p = 0; p < points; ++p) {
      features[i * points + p] = std::sin(double(i + 1) * 0.013 * double(p) + double(i));
    }
  }
  std::vector<double> moments(count, 0.05), penalty(count, 1e-3);
  EntropicDual one(reference, features), two(reference, features);
  const DualStage stage = one.solve(moments, penalty, {60, 1e-14, 1});
  two.solve(moments, penalty, {60, 1e-14, 2});
  CHECK(stage.status == DualStatus::converged);
  const auto found = one.moments(1);
  for (std::size_t i = 0; i < count; ++i) {
    CHECK(found[i] + penalty[i] * one.theta()[i] == doctest::Approx(moments[i]).epsilon(1e-8));
    CHECK(one.theta()[i] == two.theta()[i]);
  }
  CHECK_THROWS_AS(EntropicDual(reference, std::vector<double>(points + 1)), std::invalid_argument);
}
