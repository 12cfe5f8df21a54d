#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "recouple/flow.hpp"

using namespace recouple;

namespace {

struct Turning {  // the quarter turn in unit time 2 pi, with its derivatives
  std::size_t dim() const noexcept { return 2; }
  void operator()(double, std::span<const double> x, std::span<double> v) const noexcept {
    for (std::size_t i = 0; i < x.size(); i += 2) v[i] = -x[i + 1], v[i + 1] = x[i];
  }
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept {
    (*this)(t, x, v);
    for (double& d : div) d = 0;
  }
  void jacobian(double, std::span<const double> x, std::span<double> jac) const noexcept {
    for (std::size_t i = 0; i < x.size() / 2; ++i) {
      jac[4 * i] = jac[4 * i + 3] = 0, jac[4 * i + 1] = -1, jac[4 * i + 2] = 1;
    }
  }
};

struct Escape {  // x' = x^2 leaves the line at t = 1 / x0
  std::size_t dim() const noexcept { return 1; }
  void operator()(double, std::span<const double> x, std::span<double> v) const noexcept {
    for (std::size_t i = 0; i < x.size(); ++i) v[i] = x[i] * x[i];
  }
};

}  // namespace

TEST_CASE("a turn keeps its circle and its Jacobian is the turn") {
  const std::vector<double> x{1, 0, 0, 2, -1, 1};
  FlowOptions options;
  options.method = Method::dop853;
  options.rtol = 1e-11, options.atol = 1e-13;
  options.carried = Carried::jacobian;
  const Flow flow = integrate(Turning{}, x, 0, 1, options);
  CHECK(flow.ok());
  const double c = std::cos(1.0), s = std::sin(1.0);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(std::abs(flow.x[2 * i] - (c * x[2 * i] - s * x[2 * i + 1])) < 1e-9);  // 100 tolerances
    CHECK(std::abs(flow.x[2 * i + 1] - (s * x[2 * i] + c * x[2 * i + 1])) < 1e-9);
    CHECK(std::abs(flow.carried[4 * i] - c) < 1e-9);
    CHECK(std::abs(flow.carried[4 * i + 1] + s) < 1e-9);
  }
}

TEST_CASE("many more points than lanes: each gets its own answer, with one thread or two") {
  std::vector<double> x(3000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = -double(i) / 1000;
  FlowOptions options;
  options.rtol = 1e-8, options.atol = 1e-10;
  options.threads = 1;
  const Flow one = integrate(Escape{}, x, 0, 1, options);
  options.threads = 2;
  const Flow two = integrate(Escape{}, x, 0, 1, options);
  CHECK(one.ok());
  CHECK(one.x == two.x);
  CHECK(one.steps == two.steps);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(std::abs(one.x[i] - x[i] / (1 - x[i])) < 1e-7);
}

TEST_CASE("who leaves the line is reported, the rest arrive") {
  const std::vector<double> x{0.5, 3.0, -1.0};
  const Flow flow = integrate(Escape{}, x, 0, 1);
  CHECK(flow.status[0] == FlowStatus::ok);
  CHECK(flow.status[1] != FlowStatus::ok);
  CHECK(flow.status[2] == FlowStatus::ok);
  CHECK(std::abs(flow.t[1] - 1.0 / 3) < 1e-6);
  CHECK(flow.evaluations[1] < 5000);
}

TEST_CASE("arguments that do not fit are refused") {
  const std::vector<double> x{0.5, 3.0};
  FlowOptions fixed;
  fixed.method = Method::rk4;
  CHECK_THROWS_AS(integrate(Escape{}, x, 0, 1, fixed), std::invalid_argument);
  CHECK_THROWS_AS(integrate(Turning{}, std::vector{1.0}, 0, 1), std::invalid_argument);
  CHECK_THROWS_AS(integrate(Escape{}, x, 0, std::nan("")), std::invalid_argument);
  CHECK_THROWS_AS(integrate(Escape{}, x, 0, 1, {}, std::vector{0.5, 0.2}), std::invalid_argument);
}

TEST_CASE("dense output passes through the ends of every trajectory") {
  const std::vector<double> x{0.5, -3.0};
  FlowOptions options;
  Flow flow;
  flow.x.resize(2), flow.t.resize(2), flow.status.resize(2);
  flow.steps.resize(2), flow.rejected.resize(2), flow.evaluations.resize(2);
  DenseFlow dense;
  integrate(Escape{}, x, 0, 1, {}, options,
            {flow.x, {}, flow.t, flow.status, flow.steps, flow.rejected, flow.evaluations, {}, {}},
            &dense);
  const std::vector<double> times{1, 0, 0.5};
  std::vector<double> at(6);
  dense(times, at);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(std::abs(at[i] - flow.x[i]) < 1e-12);
    CHECK(at[2 + i] == x[i]);
    CHECK(std::abs(at[4 + i] - x[i] / (1 - 0.5 * x[i])) < 1e-4);  // a hundred tolerances
  }
  CHECK_THROWS_AS(dense(std::vector{2.0}, at), std::invalid_argument);
}
