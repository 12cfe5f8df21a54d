#include "recouple/marginal.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "recouple/numeric.hpp"

using namespace recouple;

namespace {

double at(const AnyMarginal& law, Curve curve, double x) {
  double y = 0;
  law.evaluate(curve, {&x, 1}, {&y, 1});
  return y;
}

AnyMarginal three() {
  return NormalMixture(std::vector{0.3, 0.5, 0.2}, std::vector{-2.0, 0.0, 3.0},
                       std::vector{0.5, 1.0, 0.2});
}

}  // namespace

TEST_CASE("special functions take known values") {
  CHECK(numeric::normal_cdf(0.0) == 0.5);
  CHECK(numeric::normal_quantile(0.5) == 0.0);
  // 50-digit values; a few ulp.
  CHECK(numeric::normal_cdf(-37.0) == doctest::Approx(5.7255712225245768e-300).epsilon(1e-15));
  CHECK(numeric::normal_quantile(1e-300) == doctest::Approx(-37.047096299361199).epsilon(1e-15));
  CHECK(std::isnan(numeric::normal_quantile(1.5)));
}

TEST_CASE("quantiles invert the cdf from tail to tail") {
  const AnyMarginal law = three();
  for (double u = 1e-300; u < 0.5; u *= 17) {
    CHECK(at(law, Curve::cdf, at(law, Curve::ppf, u)) == doctest::Approx(u).epsilon(1e-12));
    CHECK(at(law, Curve::sf, at(law, Curve::isf, u)) == doctest::Approx(u).epsilon(1e-12));
  }
}

TEST_CASE("threads change no bit") {
  const AnyMarginal law = three();
  std::vector<double> u(50'000), one(u.size()), two(u.size());
  for (std::size_t i = 0; i < u.size(); ++i) u[i] = (double(i) + 0.5) / double(u.size());
  evaluate(law, Curve::ppf, u, one, 1);
  evaluate(law, Curve::ppf, u, two, 2);
  CHECK(one == two);
  CHECK(std::is_sorted(one.begin(), one.end()));
}

TEST_CASE("results may be written over the points") {
  for (const AnyMarginal& law :
       {three(), AnyMarginal(Normal(1, 2)),
        AnyMarginal(Histogram(std::vector{0.0, 1.0, 3.0}, std::vector{1.0, 2.0})),
        AnyMarginal(Affine(three(), 1, -2)), AnyMarginal(Truncated(three(), -1, 2))}) {
    for (const Curve curve : {Curve::pdf, Curve::logpdf, Curve::cdf, Curve::logcdf, Curve::sf,
                              Curve::logsf, Curve::ppf, Curve::isf}) {
      std::vector<double> x(300), apart(300);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = (double(i) + 0.5) / 300;
      law.evaluate(curve, x, apart);
      law.evaluate(curve, x, x);
      CHECK(x == apart);
    }
  }
}

TEST_CASE("a law remembers what it is") {
  const AnyMarginal law = three();
  CHECK(law.as<NormalMixture>() != nullptr);
  CHECK(law.as<Normal>() == nullptr);
  CHECK_FALSE(law.foreign(Curve::cdf));
  CHECK(law.mean() == doctest::Approx(0.0));
  CHECK(law.support().lower == -std::numeric_limits<double>::infinity());
}

TEST_CASE("moments from quantiles match those in closed form") {
  const auto [mean, std] = moments(three());
  CHECK(mean == doctest::Approx(three().mean()).epsilon(1e-12).scale(1));
  CHECK(std == doctest::Approx(three().std()).epsilon(1e-12));
}

TEST_CASE("what is not a law is refused") {
  const std::vector<double> one{1.0}, zero{0.0}, none;
  CHECK_THROWS_AS(Normal(0, 0), std::invalid_argument);
  CHECK_THROWS_AS(NormalMixture(none, none, none), std::invalid_argument);
  CHECK_THROWS_AS(NormalMixture(one, one, zero), std::invalid_argument);
  CHECK_THROWS_AS(Empirical(none, none), std::invalid_argument);
  CHECK_THROWS_AS(Empirical(one, zero), std::invalid_argument);
  CHECK_THROWS_AS(Histogram(one, one), std::invalid_argument);
  CHECK_THROWS_AS(Affine(three(), 0, 0), std::invalid_argument);
  CHECK_THROWS_AS(Truncated(three(), 2, 1), std::invalid_argument);
}
