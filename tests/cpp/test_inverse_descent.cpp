#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "recouple/inverse_descent.hpp"

using namespace recouple;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
using Numbers = std::vector<double>;

Numbers equally(std::size_t count) {
  Numbers t;
  for (std::size_t k = 0; k < count; ++k) t.push_back(double(k) / double(count - 1));
  return t;
}

Numbers random_masses(std::size_t n, unsigned seed) {
  std::mt19937 draw(seed);
  std::uniform_real_distribution<double> uniform(0.1, 1);
  Numbers m(n);
  double total = 0;
  for (double& v : m) total += v = uniform(draw);
  for (double& v : m) v /= total;
  return m;
}

Numbers bins_of(const BinnedProjections& a, const Numbers& mass, int threads = 1) {
  Numbers packed(a.points()), bins(a.bins());
  a.pack(mass, packed);
  a.project(packed, bins, threads);
  return bins;
}

double dot(const Numbers& a, const Numbers& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

// Standard normals of correlation rho on [-4, 4]^2, row-major.
Numbers gaussian(std::size_t n, double rho) {
  Numbers p;
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const double x = -4 + 8 * double(i) / double(n - 1), y = -4 + 8 * double(j) / double(n - 1);
      p.push_back(std::exp(-0.5 * (x * x - 2 * rho * x * y + y * y) / (1 - rho * rho)));
      total += p.back();
    }
  }
  for (double& v : p) v /= total;
  return p;
}

}  // namespace

TEST_CASE("sizes that are not the grid's are refused") {
  const BinnedProjections p(4, 5, 1.0, 1.0, std::vector<double>{0.0, 0.5, 1.0});
  std::vector<double> few(3), points(p.points()), bins(p.bins());
  CHECK_THROWS_AS(p.project(few, bins), std::invalid_argument);
  CHECK_THROWS_AS(p.project(points, few), std::invalid_argument);
  CHECK_THROWS_AS(p.adjoint(few, points), std::invalid_argument);
  CHECK_THROWS_AS(p.tilt(few, bins, points), std::invalid_argument);
  CHECK_THROWS_AS(p.pack(few, points), std::invalid_argument);
  CHECK_THROWS_AS(p.unpack(points, few), std::invalid_argument);
}

TEST_CASE("every column of a projection sums to one and touches two bins") {
  // Grids of any shape, spacings that are and are not commensurable.
  for (const auto& [n0, n1, h1] : {std::tuple<std::size_t, std::size_t, double>{7, 7, 1.0},
                                   {5, 9, 0.37},
                                   {11, 3, std::numbers::pi}}) {
    const BinnedProjections a(n0, n1, 1.0, h1, equally(6));
    for (std::size_t p = 0; p < n0 * n1; ++p) {
      Numbers mass(n0 * n1, 0.0);
      mass[p] = 1;
      const Numbers bins = bins_of(a, mass);
      for (std::size_t k = 0; k < a.times(); ++k) {
        const auto from = bins.begin() + std::ptrdiff_t(a.first_bin()[k]);
        const auto to = bins.begin() + std::ptrdiff_t(a.first_bin()[k + 1]);
        double sum = 0;
        for (auto bin = from; bin != to; ++bin) sum += *bin;
        CHECK(sum == doctest::Approx(1).epsilon(1e-15));  // f + (1 - f), rounded once
        CHECK(std::count_if(from, to, [](double b) { return b > 0; }) <= 2);
        CHECK(std::all_of(from, to, [](double b) { return b >= 0; }));
      }
    }
  }
}

TEST_CASE("a bin gets what the trapezoid of a cell leaves in it") {
  // One point, (i, j), at time t: the integral of the trapezoid over each bin by a fine sum.
  const double h0 = 1, h1 = 0.6, t = 0.3, width = (1 - t) * h0 + t * h1;
  const std::size_t n0 = 4, n1 = 5, i = 2, j = 3;
  const BinnedProjections a(n0, n1, h0, h1, std::vector{t});
  Numbers mass(n0 * n1, 0.0);
  mass[i * n1 + j] = 1;
  const Numbers bins = bins_of(a, mass);
  Numbers expected(bins.size(), 0.0);
  constexpr int fine = 400;
  for (int r = 0; r < fine; ++r) {
    for (int s = 0; s < fine; ++s) {
      const double z = (1 - t) * h0 * (double(i) + (r + 0.5) / fine - 0.5) +
                       t * h1 * (double(j) + (s + 0.5) / fine - 0.5);
      expected[std::size_t(std::floor(z / width + 0.5))] += 1.0 / (fine * fine);
    }
  }
  for (std::size_t k = 0; k < bins.size(); ++k) {
    CHECK(std::abs(bins[k] - expected[k]) < 2.0 / fine);  // the cells that an edge cuts
  }
}

TEST_CASE("the adjoint is the adjoint") {
  const BinnedProjections a(13, 8, 0.3, 0.7, equally(5));
  const Numbers mass = random_masses(13 * 8, 1), y = random_masses(a.bins(), 2);
  Numbers packed(a.points()), back(a.points());
  a.adjoint(y, packed);
  a.unpack(packed, back);
  CHECK(dot(y, bins_of(a, mass)) == doctest::Approx(dot(back, mass)).epsilon(1e-13));
  a.pack(back, packed);
  Numbers again(a.points());
  a.unpack(packed, again);
  CHECK(again == back);
}

TEST_CASE("the gradient of the data term agrees with differences") {
  const BinnedProjections a(6, 9, 0.4, 0.3, equally(4));
  const Numbers reference = random_masses(54, 3), data = bins_of(a, random_masses(54, 4));
  const MirrorDescent descent(a, reference, data, Numbers{4, 1, 1, 4});
  Numbers mass = random_masses(54, 5), gradient(54), spare(54);
  descent.misfit(mass, gradient);
  for (const std::size_t p : {0u, 17u, 53u}) {
    const double h = 1e-5 * mass[p], at = mass[p];
    mass[p] = at + h;
    const double up = descent.misfit(mass, spare);
    mass[p] = at - h;
    const double down = descent.misfit(mass, spare);
    mass[p] = at;
    // Rounding 1e-16 / h and a third derivative of order 1 / mass^2.
    CHECK((up - down) / (2 * h) == doctest::Approx(gradient[p]).epsilon(1e-5));
  }
}

TEST_CASE("the objective never rises, restarts or not, and the plan comes out") {
  constexpr std::size_t n = 48;
  const BinnedProjections a(n, n, 8.0 / (n - 1), 8.0 / (n - 1), equally(9));
  const Numbers truth = gaussian(n, 0.9), data = bins_of(a, truth);
  MirrorDescent descent(a, gaussian(n, 0), data, Numbers(9, 1.0));
  int restarts = 0;
  double last = inf;
  for (const double lambda : {1e-3, 1e-5, 1e-7}) {
    const DescentStage stage = descent.solve(lambda, {3000, 1e-6, 1});
    CHECK(std::is_sorted(stage.objective.rbegin(), stage.objective.rend()));
    CHECK(stage.misfit < last);
    CHECK(stage.objective.back() ==
          doctest::Approx(stage.misfit + lambda * stage.divergence).epsilon(1e-12));
    last = stage.misfit;
    restarts += stage.restarts;
  }
  CHECK(restarts > 0);
  Numbers found(n * n);
  descent.mass(found);
  double tv = 0, divergence = 0;
  const Numbers start = gaussian(n, 0);
  for (std::size_t p = 0; p < n * n; ++p) {
    tv += 0.5 * std::abs(found[p] - truth[p]);
    divergence += found[p] * std::log(found[p] / start[p]);
  }
  CHECK(tv < 0.01);  // the exact plan is log-quadratic: its theta exists, and lambda is 1e-7
  // KL of the normal laws: -log(1 - rho^2) / 2.
  CHECK(divergence == doctest::Approx(-0.5 * std::log(1 - 0.81)).epsilon(0.01));
}

TEST_CASE("the thread count changes no bit") {
  constexpr std::size_t n = 200;  // large enough for the loops to be parallel
  const BinnedProjections a(n, n + 3, 0.04, 0.05, equally(17));
  const Numbers reference = random_masses(n * (n + 3), 6);
  const Numbers data = bins_of(a, random_masses(n * (n + 3), 7));
  Numbers one, four;
  for (auto [out, threads] : {std::pair{&one, 1}, {&four, 4}}) {
    MirrorDescent descent(a, reference, data, Numbers(17, 1.0));
    descent.solve(1e-4, {30, 0.0, threads});
    out->resize(a.points());
    descent.mass(*out, threads);
  }
  CHECK(one == four);
}

TEST_CASE("a descent stops on request and keeps the best it saw") {
  const BinnedProjections a(20, 20, 0.4, 0.4, equally(5));
  MirrorDescent descent(a, gaussian(20, 0), bins_of(a, gaussian(20, 0.5)), Numbers(5, 1.0));
  const auto stage =
      descent.solve(1e-5, {100, 0.0, 1}, [](std::size_t done, std::size_t) { return done < 7; });
  CHECK(stage.status == DualStatus::interrupted);
  CHECK(stage.objective.size() <= 8);
  CHECK(stage.objective.back() < stage.objective.front());
}

TEST_CASE("bad input is refused") {
  CHECK_THROWS_AS(BinnedProjections(1, 5, 1, 1, equally(3)), std::invalid_argument);
  CHECK_THROWS_AS(BinnedProjections(5, 5, 0, 1, equally(3)), std::invalid_argument);
  CHECK_THROWS_AS(BinnedProjections(5, 5, 1, inf, equally(3)), std::invalid_argument);
  CHECK_THROWS_AS(BinnedProjections(5, 5, 1, 1, Numbers{}), std::invalid_argument);
  CHECK_THROWS_AS(BinnedProjections(5, 5, 1, 1, Numbers{1.5}), std::invalid_argument);
  CHECK_THROWS_AS(BinnedProjections(5, 5, 1, 1, Numbers{std::nan("")}), std::invalid_argument);
  const BinnedProjections a(5, 5, 1, 1, equally(3));
  const Numbers p = random_masses(25, 1), b = bins_of(a, p), w(3, 1.0);
  CHECK_THROWS_AS(MirrorDescent(a, b, b, w), std::invalid_argument);
  CHECK_THROWS_AS(MirrorDescent(a, p, p, w), std::invalid_argument);
  CHECK_THROWS_AS(MirrorDescent(a, p, b, Numbers(3, 0.0)), std::invalid_argument);
  CHECK_THROWS_AS(MirrorDescent(a, p, Numbers(b.size(), -1.0), w), std::invalid_argument);
  MirrorDescent descent(a, p, b, w);
  CHECK_THROWS_AS(descent.solve(-1, {}), std::invalid_argument);
  CHECK_THROWS_AS(descent.set_theta(p), std::invalid_argument);
}
