#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "recouple/field.hpp"

using namespace recouple;

namespace {

MixturePlan gaussian(double m0, double m1, double c00, double c01, double c11) {
  return make_mixture_plan(std::vector{1.0}, std::vector{m0, m1}, std::vector{c00, c01, c01, c11});
}

double at(const AnyField& field, double t, double x) {
  double v = 0;
  field(t, {&x, 1}, {&v, 1});
  return v;
}

}  // namespace

TEST_CASE("the field of a Gaussian plan is conditioning of joint normals") {
  const double m0 = 0.5, m1 = -1, c00 = 2, c01 = 0.7, c11 = 1.5;
  const AnyField field = velocity_field(gaussian(m0, m1, c00, c01, c11));
  for (const double t : {0.0, 0.2, 0.5, 0.9, 1.0}) {
    const double s = (1 - t) * (1 - t) * c00 + 2 * t * (1 - t) * c01 + t * t * c11;
    const double k = (1 - t) * (c01 - c00) + t * (c11 - c01);
    for (const double x : {-3.0, 0.0, 4.0}) {
      const double expected = m1 - m0 + k / s * (x - (1 - t) * m0 - t * m1);
      CHECK(at(field, t, x) == doctest::Approx(expected).epsilon(1e-14));  // a few roundings
    }
  }
}

TEST_CASE("far tails keep the dominant component") {
  const MixturePlan plan =
      make_mixture_plan(std::vector{0.5, 0.5}, std::vector{-1.0, -1.0, 1.0, 3.0},
                        std::vector{1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0});
  const AnyField field = velocity_field(plan);
  // At t = 0 the components have equal variance: the right one rules far to the right.
  CHECK(at(field, 0, 1e4) == doctest::Approx(3 - 1e4));
  CHECK(at(field, 0, -1e4) == doctest::Approx(-1 + 1e4));
  CHECK(std::isnan(at(field, 0.5, std::nan(""))));
}

TEST_CASE("a time for each point gives the same bits as one time") {
  const AnyField field = velocity_field(gaussian(0, 1, 1, 0.5, 2));
  std::vector<double> x(1000), t(1000, 0.37), one(1000), each(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(double(i)) * 3;
  field(0.37, x, one);
  field(std::span<const double>(t), x, each);
  for (std::size_t i = 0; i < x.size(); ++i)
    CHECK(one[i] == doctest::Approx(each[i]).epsilon(1e-14));
}

TEST_CASE("a lambda-like type is a field, with or without times of its own") {
  struct Decay {
    std::size_t dim() const noexcept { return 2; }
    void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept {
      for (std::size_t i = 0; i < x.size(); ++i) v[i] = t - x[i];
    }
  };
  const AnyField field = Decay{};
  const std::vector<double> t{0.0, 1.0}, x{1, 2, 3, 4};
  std::vector<double> v(4);
  field(std::span<const double>(t), x, v);
  CHECK(v == std::vector<double>{-1, -2, -2, -3});
  CHECK_FALSE(field.foreign());
}
