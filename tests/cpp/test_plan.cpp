#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "recouple/plan.hpp"

using namespace recouple;

TEST_CASE("a mixture's roots multiply back to its covariances, singular ones included") {
  const std::vector<double> weights{1, 0, 3}, means(12, 0.5);
  std::vector<double> covs(48, 0.0);
  const double definite[16] = {2, 0.3, 0.1, 0, 0.3, 1, 0, 0.2, 0.1, 0, 1.5, 0.4, 0, 0.2, 0.4, 1};
  std::copy(definite, definite + 16, covs.begin());
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) covs[32 + 4 * i + j] = 1;  // rank one
  }
  const MixturePlan plan = make_mixture_plan(weights, means, covs);
  CHECK(plan.dim == 2);
  CHECK(plan.size() == 2);
  CHECK(plan.weights == std::vector<double>{0.25, 0.75});
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < 4; ++j) {
        double sum = 0;
        for (std::size_t r = 0; r < 4; ++r) {
          sum += plan.roots[16 * k + 4 * i + r] * plan.roots[16 * k + 4 * j + r];
        }
        CHECK(sum == doctest::Approx(plan.covs[16 * k + 4 * i + j]).epsilon(1e-14));
      }
    }
  }
}

TEST_CASE("what is not a plan is refused") {
  const std::vector<double> one{1.0}, mean{0, 0};
  CHECK_THROWS_AS(make_mixture_plan(one, mean, std::vector{1.0, 2.0, 2.0, 1.0}),
                  std::invalid_argument);
  CHECK_THROWS_AS(make_mixture_plan(one, mean, std::vector{1.0, 0.5, 0.1, 1.0}),
                  std::invalid_argument);
  CHECK_THROWS_AS(make_mixture_plan(one, std::vector{0.0, 0.0, 0.0}, std::vector<double>(9, 1.0)),
                  std::invalid_argument);
  CHECK_THROWS_AS(make_dataset_plan(2, std::vector{1.0, 2.0, 3.0}, 1), std::invalid_argument);
  CHECK_THROWS_AS(make_dataset_plan(1, one, 0), std::invalid_argument);
  CHECK_THROWS_AS(make_dataset_plan(1, one, 1, std::vector{-1.0}), std::invalid_argument);
}

TEST_CASE("the spline of a grid plan passes through its densities and integrates to one") {
  std::vector<double> x0, x1, mass;
  for (int i = 0; i < 40; ++i) x0.push_back(-6 + 12.0 * i / 39);
  for (int j = 0; j < 50; ++j) x1.push_back(-7 + 14.0 * j / 49);
  for (const double a : x0) {
    for (const double b : x1) mass.push_back(std::exp(-0.5 * (a * a + b * b - a * b)));
  }
  const GridPlan plan = make_grid_plan(x0, x1, mass);
  const GridDensity density(plan);
  const double cell = plan.spacing0() * plan.spacing1();
  std::vector<double> slice(50);
  density.slice(x0[17], slice);
  for (std::size_t j = 0; j < 50; ++j) {
    CHECK(density(x0[17], x1[j]) == doctest::Approx(plan.mass[17 * 50 + j] / cell));
    CHECK(slice[j] == doctest::Approx(plan.mass[17 * 50 + j] / cell));
  }
  CHECK(density(100, 0) == 0);
  // Draws at u = 1/2 of a symmetric conditional law are its mean, half of x0.
  const std::vector<double> at{1.0, -2.0, 100.0}, u(3, 0.5);
  std::vector<double> drawn(3);
  sample_conditional(density, at, u, drawn);
  CHECK(drawn[0] == doctest::Approx(0.5).epsilon(1e-4));  // O(h^4) of the grid
  CHECK(drawn[1] == doctest::Approx(-1.0).epsilon(1e-4));
  CHECK(std::isnan(drawn[2]));
}
