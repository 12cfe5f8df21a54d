#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "recouple/field.hpp"
#include "recouple/field_change.hpp"
#include "recouple/field_grid.hpp"

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

namespace {

// Largest differences of the Jacobian and the divergence from central differences of the field.
void check_derivatives(const AnyField& field, double t, std::vector<double> x, double tolerance) {
  REQUIRE(field.differentiable());
  const std::size_t d = field.dim(), n = x.size() / d;
  std::vector<double> v(x.size()), again(x.size()), div(n), jac(n * d * d);
  field(t, x, v);
  field.divergence(t, x, again, div);
  field.jacobian(t, x, jac);
  const double h = 1e-5;
  std::vector<double> left(x.size()), right(x.size()), traces(n, 0.0);
  for (std::size_t c = 0; c < d; ++c) {
    std::vector<double> moved = x;
    for (std::size_t i = 0; i < n; ++i) moved[i * d + c] -= h;
    field(t, moved, left);
    for (std::size_t i = 0; i < n; ++i) moved[i * d + c] += 2 * h;
    field(t, moved, right);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t r = 0; r < d; ++r) {
        const double slope = (right[i * d + r] - left[i * d + r]) / (2 * h);
        CHECK(std::abs(jac[(i * d + r) * d + c] - slope) < tolerance);
      }
      traces[i] += jac[(i * d + c) * d + c];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(std::abs(div[i] - traces[i]) < 1e-10);
    for (std::size_t r = 0; r < d; ++r) {
      CHECK(again[i * d + r] == doctest::Approx(v[i * d + r]).epsilon(1e-13));
    }
  }
}

std::vector<double> waves(std::size_t n) {
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = 1.5 * std::sin(1.7 * double(i) + 0.3);
  return x;
}

MixturePlan two_in_the_plane() {
  const std::vector<double> means{0, 1, 2, -1, 1, 0, -1, 0.5};
  std::vector<double> covs(32, 0.0);
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t i = 0; i < 4; ++i) covs[16 * k + 5 * i] = 0.5 + 0.3 * double(i + k);
    covs[16 * k + 2] = covs[16 * k + 8] = 0.2;
    covs[16 * k + 7] = covs[16 * k + 13] = -0.3;
  }
  return make_mixture_plan(std::vector{1.0, 2.0}, means, covs);
}

}  // namespace

TEST_CASE("divergence and Jacobian are derivatives of the field") {
  const std::vector<double> x = waves(60);
  check_derivatives(velocity_field(gaussian(0.5, -1, 2, 0.7, 1.5)), 0.4, x, 1e-9);
  check_derivatives(velocity_field(two_in_the_plane()), 0.4, x, 1e-8);
  check_derivatives(velocity_field(make_dataset_plan(3, waves(90), 0.8)), 0.4, x, 1e-7);
  check_derivatives(reversed_time(velocity_field(two_in_the_plane())), 0.3, x, 1e-8);
  check_derivatives(change_interpolant(velocity_field(two_in_the_plane()), Interpolant::linear,
                                       Interpolant::trigonometric),
                    0.3, x, 1e-8);
}

TEST_CASE("a data set is the mixture with an atom in each component") {
  const std::vector<double> data = waves(2 * 150);
  std::vector<double> means, covs;
  for (std::size_t j = 0; j < 150; ++j) {
    means.insert(means.end(), {0.0, 0.0, data[2 * j], data[2 * j + 1]});
    std::vector<double> cov(16, 0.0);
    cov[0] = cov[5] = 0.49;
    covs.insert(covs.end(), cov.begin(), cov.end());
  }
  const AnyField rows = velocity_field(make_dataset_plan(2, data, 0.7));
  const AnyField atoms = velocity_field(make_mixture_plan(std::vector(150, 1.0), means, covs));
  const std::vector<double> x = waves(200);
  std::vector<double> one(200), other(200);
  for (const double t : {0.0, 0.5, 0.99, 1.0}) {  // direct and expanded distances, and the end
    rows(t, x, one);
    atoms(t, x, other);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CHECK(std::abs(one[i] - other[i]) < 1e-10 * (1 + std::abs(other[i])));
    }
  }
}

TEST_CASE("another interpolant's field is found without the plan") {
  const MixturePlan plan = two_in_the_plane();
  const std::vector<double> x = waves(40);
  std::vector<double> one(40), other(40);
  for (const Interpolant& to : {Interpolant::trigonometric, Interpolant::cosine}) {
    const AnyField changed = change_interpolant(velocity_field(plan), Interpolant::linear, to);
    const AnyField exact = velocity_field(plan, to);
    for (const double t : {0.1, 0.5, 0.9}) {
      changed(t, x, one);
      exact(t, x, other);
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(one[i] == doctest::Approx(other[i]).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("a grid field reproduces cubics") {
  std::vector<double> t{0, 0.2, 0.5, 0.8, 1}, x{-2, -1.2, -0.3, 0.1, 0.9, 2}, v;
  const auto cubic = [](double s, double y) { return (1 + s * s * s - s) * (y * y * y - 2 * y); };
  for (const double s : t) {
    for (const double y : x) v.push_back(cubic(s, y));
  }
  const AnyField field = GridField(t, x, v, false, Extrapolation::linear);
  for (const double s : {0.1, 0.45, 0.93}) {
    for (const double y : {-1.9, 0.0, 1.5}) {
      CHECK(at(field, s, y) == doctest::Approx(cubic(s, y)).epsilon(1e-13));
    }
  }
}
