#include "recouple/quantile.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

using namespace recouple;

TEST_CASE("a table keeps its word at points it was not checked at") {
  const AnyMarginal law =
      NormalMixture(std::vector{0.3, 0.7}, std::vector{0.0, 50.0}, std::vector{1.0, 0.1});
  const Tabulated table(law, 1e-12);
  CHECK(table.u_error() <= 1e-12);
  std::vector<double> u, x, p;
  for (double v = 1e-14; v < 1; v += 1.0 / 4099) u.push_back(v);
  x.resize(u.size());
  p.resize(u.size());
  table.evaluate(Curve::ppf, u, x);
  law.cdf(x, p);
  double worst = 0;
  for (std::size_t i = 0; i < u.size(); ++i) worst = std::max(worst, std::abs(p[i] - u[i]));
  CHECK(worst <= 1e-12);
  CHECK(std::is_sorted(x.begin(), x.end()));
}

TEST_CASE("an atom is refused") {
  const std::vector<double> values{1.0, 2.0};
  CHECK_THROWS_AS(Tabulated(Empirical(values, {}), 1e-12), std::invalid_argument);
}

TEST_CASE("the inverse of a bare cdf is its quantile") {
  const double infinity = std::numeric_limits<double>::infinity();
  const CdfInverse logistic(
      [](std::span<const double> x, std::span<double> p) {
        for (std::size_t i = 0; i < x.size(); ++i) p[i] = 1 / (1 + std::exp(-x[i]));
      },
      {-infinity, infinity});
  for (const double u : {1e-12, 0.1, 0.5, 0.9}) {
    double x = 0;
    logistic({&u, 1}, {&x, 1});
    CHECK(x == doctest::Approx(std::log(u / (1 - u))).epsilon(1e-13).scale(1));
  }
}

TEST_CASE("the map between laws pushes one to the other") {
  const TransportMap map(Normal(0, 1), Normal(3, 2));
  const std::vector<double> x{-30, -1, 0, 1, 30};
  std::vector<double> y(5);
  map(x, y);
  for (std::size_t i = 0; i < 5; ++i) CHECK(y[i] == doctest::Approx(3 + 2 * x[i]).epsilon(1e-13));
}
