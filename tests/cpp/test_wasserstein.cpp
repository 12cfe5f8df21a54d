#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "recouple/sort.hpp"
#include "recouple/wasserstein.hpp"

namespace {

using recouple::Samples;
using recouple::WassersteinOptions;

std::vector<double> draw(std::size_t n, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& value : x) value = normal(engine);
  return x;
}

double distance(std::span<const double> u, std::span<const double> v, double p,
                std::span<const double> uw = {}, std::span<const double> vw = {}, int threads = 1) {
  const std::size_t row = 0;
  double out = 0;
  recouple::wasserstein_1d(Samples<double>{u, u.size(), uw}, Samples<double>{v, v.size(), vw},
                           {&row, 1}, {&row, 1}, {p, false, false, threads}, {&out, 1});
  return out;
}

}  // namespace

TEST_CASE("the own sort sorts, infinities and signed zeros included") {
  for (const std::size_t n : {0u, 1u, 2u, 31u, 600u, 5000u}) {
    std::vector<double> x = draw(n, 1);
    if (n > 3) x[1] = std::numeric_limits<double>::infinity(), x[2] = -x[1], x[3] = -0.0;
    std::vector<double> expected = x;
    std::sort(expected.begin(), expected.end());
    recouple::own_sort().doubles(x.data(), n);
    CHECK(x == expected);
    std::vector<float> y(expected.begin(), expected.end());
    std::reverse(y.begin(), y.end());
    recouple::own_sort().floats(y.data(), n);
    CHECK(std::is_sorted(y.begin(), y.end()));
  }
}

TEST_CASE("many threads sort as one does") {
  const std::vector<double> x = draw(500'000, 2);
  std::vector<double> one(x.size()), many(x.size());
  CHECK(recouple::sort(x, one, 1));
  CHECK(recouple::sort(x, many, 5));
  CHECK(std::is_sorted(one.begin(), one.end()));
  CHECK(one == many);
}

TEST_CASE("weights and positions stay with their values") {
  for (const std::size_t n : {1u, 100u, 200'000u}) {
    std::vector<double> x = draw(n, 3);
    for (std::size_t k = 0; k < n; k += 3) x[k] = std::floor(x[k]);  // ties
    std::vector<double> sorted(n), weights(n);
    std::vector<std::int64_t> order(n);
    for (const int threads : {1, 3}) {
      REQUIRE(recouple::sort_with_order(x, sorted, order, threads));
      for (std::size_t k = 0; k < n; ++k) {
        REQUIRE(sorted[k] == x[static_cast<std::size_t>(order[k])]);
        if (k > 0) REQUIRE(sorted[k - 1] <= sorted[k]);
        if (k > 0 && sorted[k - 1] == sorted[k]) REQUIRE(order[k - 1] < order[k]);
      }
      REQUIRE(recouple::sort_with_weights(x, x, sorted, weights, threads));
      REQUIRE(sorted == weights);
    }
  }
}

TEST_CASE("sizes that do not match are refused") {
  std::vector<double> x(3), y(2);
  CHECK_THROWS_AS(static_cast<void>(recouple::sort(x, y)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(recouple::sort_with_weights(x, y, x, x)),
                  std::invalid_argument);
}

TEST_CASE("a shift is the distance, at every level and for every kind of problem") {
  for (const std::size_t n : {1u, 7u, 1000u, 40'000u}) {
    const std::vector<double> u = draw(n, 4);
    std::vector<double> v = u, w(n);
    for (double& value : v) value += 2.5;
    for (std::size_t k = 0; k < n; ++k) w[k] = 1.0 + double(k % 5);
    std::vector<double> twice(2 * n);
    for (std::size_t k = 0; k < n; ++k) twice[2 * k] = twice[2 * k + 1] = v[k];
    for (const double p : {1.0, 2.0, 3.0, 2.5, std::numeric_limits<double>::infinity()}) {
      CHECK(distance(u, v, p) == doctest::Approx(2.5).epsilon(1e-12));
      CHECK(distance(u, twice, p) == doctest::Approx(2.5).epsilon(1e-12));
      CHECK(distance(u, v, p, w, w) == doctest::Approx(2.5).epsilon(1e-12));
    }
  }
}

TEST_CASE("the thread count changes no bit") {
  const std::vector<double> u = draw(150'000, 5), v = draw(100'001, 6), w(u.size(), 2.0);
  for (const double p : {1.0, 2.0, 4.0}) {
    CHECK(distance(u, v, p) == distance(u, v, p, {}, {}, 4));
    CHECK(distance(u, v, p, w) == distance(u, v, p, w, {}, 4));
  }
}

TEST_CASE("a plan has its marginals and gradients sum to nothing") {
  const std::vector<double> u = draw(50, 7), v = draw(30, 8);
  const Samples<double> left{u, u.size(), {}}, right{v, v.size(), {}};
  std::vector<std::int64_t> rows(79), columns(79);
  std::vector<double> mass(79);
  const std::size_t entries = recouple::wasserstein_1d_plan(left, right, rows, columns, mass);
  std::vector<double> sums(50);
  for (std::size_t e = 0; e < entries; ++e) sums[static_cast<std::size_t>(rows[e])] += mass[e];
  for (const double sum : sums) CHECK(sum == doctest::Approx(0.02).epsilon(1e-14));

  // A common shift changes nothing.
  std::vector<double> value(1), du(50), dv(30), duw(50), dvw(30);
  recouple::wasserstein_1d_grad(left, right, {2, false, false, 1}, {value, du, dv, duw, dvw});
  double sum = 0;
  for (const double d : du) sum += d;
  for (const double d : dv) sum += d;
  CHECK(std::abs(sum) < 1e-14);
  CHECK(value[0] == doctest::Approx(distance(u, v, 2)).epsilon(1e-13));
}

TEST_CASE("bad input is refused by name") {
  const std::vector<double> x{1, 2}, bad{1, std::nan("")}, negative{1, -1}, nothing{0, 0};
  CHECK_THROWS_WITH_AS(distance(bad, x, 1), "u_values must not hold NaN", std::invalid_argument);
  CHECK_THROWS_AS(distance(x, x, 0.5), std::invalid_argument);
  CHECK_THROWS_AS(distance(x, x, 1, negative), std::invalid_argument);
  CHECK_THROWS_AS(distance(x, x, 1, nothing), std::invalid_argument);
  CHECK_THROWS_AS(distance({}, x, 1), std::invalid_argument);
}
