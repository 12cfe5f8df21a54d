#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "recouple/inverse_mixture.hpp"

using namespace recouple;

namespace {

// Two components in R^2 and points of X_t at three times.
struct Case {
  std::vector<double> weights{0.4, 0.6}, means, factors, times{0.1, 0.5, 0.9}, x;
  std::vector<std::size_t> first;

  explicit Case(std::size_t each = 200) : means(8), factors(32, 0.0) {
    std::mt19937_64 rng(1);
    std::normal_distribution<double> normal;
    for (std::size_t k = 0; k < 2; ++k) {
      for (std::size_t i = 0; i < 4; ++i) {
        means[4 * k + i] = (k == 0 ? -1.5 : 1.5) + 0.5 * normal(rng);
        for (std::size_t j = 0; j < i; ++j) factors[16 * k + 4 * i + j] = 0.3 * normal(rng);
        factors[16 * k + 5 * i] = 0.6 + 0.1 * double(i);
      }
    }
    for (const double t : times) {
      first.push_back(x.size() / 2);
      for (std::size_t n = 0; n < each; ++n) {
        const std::size_t k = n % 5 < 2 ? 0 : 1;
        double z[4], pair[4];
        for (double& v : z) v = normal(rng);
        for (std::size_t i = 0; i < 4; ++i) {
          pair[i] = means[4 * k + i];
          for (std::size_t j = 0; j <= i; ++j) pair[i] += factors[16 * k + 4 * i + j] * z[j];
        }
        for (std::size_t i = 0; i < 2; ++i) x.push_back((1 - t) * pair[i] + t * pair[2 + i]);
      }
    }
    first.push_back(x.size() / 2);
  }
  TimedPoints points() const { return {2, times, first, x}; }
  MixtureFactors mixture() const { return {weights, means, factors}; }
};

}  // namespace

TEST_CASE("an EM step raises the likelihood and keeps the weights a distribution") {
  Case c;
  for (double& m : c.means) m *= 0.7;  // away from the optimum
  const auto one = mixture_em_step(c.points(), c.mixture(), 0.0, 1);
  REQUIRE(one.good);
  CHECK(one.weights[0] + one.weights[1] == doctest::Approx(1));
  c.weights = one.weights;
  c.means = one.means;
  for (std::size_t k = 0; k < 2; ++k) {  // factors of the new covariances, by Cholesky
    double* l = &c.factors[16 * k];
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double s = one.covs[16 * k + 4 * i + j];
        for (std::size_t p = 0; p < j; ++p) s -= l[4 * i + p] * l[4 * j + p];
        l[4 * i + j] = i == j ? std::sqrt(s) : s / l[5 * j];
      }
    }
  }
  const auto two = mixture_em_step(c.points(), c.mixture(), 0.0, 2);
  CHECK(two.log_likelihood > one.log_likelihood);
  const auto again = mixture_em_step(c.points(), c.mixture(), 0.0, 1);
  CHECK(again.means == two.means);  // to the bit
}

TEST_CASE("the Jacobian is the derivative of the velocity") {
  Case c(20);
  const std::size_t n = c.x.size() / 2, columns = 2 * mixture_parameters(2);
  std::vector<double> v(2 * n), logs(n), jacobian(2 * n * columns), scores(n * columns);
  mixture_jacobian(c.points(), c.mixture(), v, logs, jacobian, scores, 1);
  // The second mean's third entry: parameter 1 + 2 of component 1.
  const std::size_t column = mixture_parameters(2) + 1 + 2;
  const double h = 1e-6;
  std::vector<double> up(2 * n), down(2 * n), log_up(n), log_down(n);
  c.means[4 + 2] += h;
  mixture_jacobian(c.points(), c.mixture(), up, log_up, {}, {}, 1);
  c.means[4 + 2] -= 2 * h;
  mixture_jacobian(c.points(), c.mixture(), down, log_down, {}, {}, 1);
  for (std::size_t i = 0; i < 2 * n; ++i) {
    // Central differences: rounding over h.
    CHECK(std::abs((up[i] - down[i]) / (2 * h) - jacobian[i * columns + column]) < 1e-7);
  }
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(std::abs((log_up[i] - log_down[i]) / (2 * h) - scores[i * columns + column]) < 1e-7);
  }
}

TEST_CASE("bad mixtures are refused") {
  Case c(5);
  std::vector<double> v(c.x.size()), logs(c.x.size() / 2);
  c.weights[0] = 0;
  CHECK_THROWS_AS(mixture_jacobian(c.points(), c.mixture(), v, logs, {}, {}),
                  std::invalid_argument);
  c.weights[0] = 0.4;
  c.first.back() += 1;
  CHECK_THROWS_AS(mixture_em_step(c.points(), c.mixture(), 0.0), std::invalid_argument);
  c.first.back() -= 1;
  c.factors[0] = std::nan("");
  CHECK_THROWS_AS(mixture_em_step(c.points(), c.mixture(), 0.0), std::invalid_argument);
}
