#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "recouple/cholesky.hpp"

namespace {

// A' A + n I with standard normal A: condition number below 10, so that solving loses one digit.
std::vector<double> positive_definite(std::size_t n) {
  std::mt19937_64 engine(n);
  std::normal_distribution<double> normal;
  std::vector<double> a(n * n), s(n * n, 0.0);
  for (double& x : a) x = normal(engine);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t j = 0; j < n; ++j) s[i * n + j] += a[k * n + i] * a[k * n + j];
    }
    s[i * n + i] += double(n);
  }
  return s;
}

}  // namespace

TEST_CASE("the factor solves systems of every size around the block boundaries") {
  for (const std::size_t n : {1ul, 2ul, 15ul, 16ul, 17ul, 63ul, 64ul, 65ul, 112ul, 130ul, 257ul}) {
    const std::vector<double> s = positive_definite(n);
    std::vector<double> x(n), b(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) x[i] = std::sin(double(i) + 1);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) b[i] += s[i * n + j] * x[j];
    }
    std::vector<double> l = s;
    REQUIRE(recouple::cholesky(l, n));
    recouple::cholesky_solve(l, n, b);
    // Backward error n eps times the condition number 10, and the rounding of b itself.
    for (std::size_t i = 0; i < n; ++i) CHECK(std::abs(b[i] - x[i]) < 10 * 2.3e-16 * double(n + 4));
  }
}

TEST_CASE("two threads give the bits of one") {
  const std::size_t n = 900;  // large enough for a trailing update to be shared out
  std::vector<double> one(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      one[i * n + j] = std::exp(-0.3 * std::abs(double(i) - double(j))) + (i == j ? 1 : 0);
    }
  }
  std::vector<double> two = one;
  REQUIRE(recouple::cholesky(one, n, 1));
  REQUIRE(recouple::cholesky(two, n, 2));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) REQUIRE(one[i * n + j] == two[i * n + j]);
  }
}

TEST_CASE("sizes that do not fit are refused") {
  std::vector<double> a(5), b(2);
  CHECK_THROWS_AS(recouple::cholesky(a, 2), std::invalid_argument);
  CHECK_THROWS_AS(recouple::cholesky_solve(a, 2, b), std::invalid_argument);
}

TEST_CASE("an indefinite or non-finite matrix is refused") {
  std::vector<double> indefinite{1, 0, 2, 1};
  CHECK_FALSE(recouple::cholesky(indefinite, 2));
  std::vector<double> nan{std::nan(""), 0, 0, 1};
  CHECK_FALSE(recouple::cholesky(nan, 2));
}
