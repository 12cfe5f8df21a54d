#include <doctest/doctest.h>

#include <cmath>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "recouple/field.hpp"
#include "recouple/network.hpp"

using namespace recouple;

namespace {

NetworkWeights some(std::size_t dim, std::size_t width) {
  NetworkWeights w{dim, width, 1.0, 1.0, {}, {}, {}};
  for (std::size_t i = 0; i < width * (dim + 2); ++i) w.hidden.push_back(std::sin(1.7 * double(i)));
  for (std::size_t i = 0; i < width * dim; ++i) w.heads.push_back(i % 3 == 0 ? 1.0 : -1.0);
  return w;
}

double by_formula(const NetworkWeights& w, double t, const double* x, std::size_t j) {
  double sum = 0;
  for (std::size_t r = 0; r < w.width; ++r) {
    const double* row = &w.hidden[r * (w.dim + 2)];
    double pre = row[w.dim] * w.time_scale * t + row[w.dim + 1] * w.bias;
    for (std::size_t c = 0; c < w.dim; ++c) pre += row[c] * x[c];
    sum += w.heads[r * w.dim + j] * std::max(pre, 0.0);
  }
  return sum / std::sqrt(double(w.width));
}

}  // namespace

TEST_CASE("a network is its formula on both sides of the switch between kernels") {
  for (const std::size_t dim : {1u, 2u, 3u, 4u, 9u}) {
    const NetworkWeights w = some(dim, 70);
    const AnyField field = ReluNetwork(w);
    std::vector<double> x(100 * dim), v(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::cos(double(i));
    field(0.3, x, v);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = by_formula(w, 0.3, &x[i / dim * dim], i % dim);
      CHECK(v[i] == doctest::Approx(expected).epsilon(1e-13).scale(1));  // another order of sums
    }
  }
}

TEST_CASE("the gradient is the difference of losses") {
  const NetworkWeights w = some(2, 20);
  const std::vector<double> t{0.2, 0.7}, x0{1.0, -0.5, 0.3, 0.8}, x1{0.1, 0.4, -1.0, 2.0};
  std::vector<double> hidden, heads;
  const Trainer<double> trainer(w, {});
  trainer.loss(t, x0, x1, &hidden, &heads);
  for (const std::size_t i : {0u, 5u, 33u}) {
    NetworkWeights up = w, down = w;
    up.hidden[i] += 1e-6;
    down.hidden[i] -= 1e-6;
    const double slope = (Trainer<double>(up, {}).loss(t, x0, x1, nullptr, nullptr) -
                          Trainer<double>(down, {}).loss(t, x0, x1, nullptr, nullptr)) /
                         2e-6;
    CHECK(hidden[i] == doctest::Approx(slope).epsilon(1e-6).scale(1));
  }
}

TEST_CASE("neurons grouped by the signs of their heads have the gradient of neurons as they come") {
  for (const std::size_t dim : {1u, 2u, 3u}) {
    const NetworkWeights w = some(dim, 400);
    for (const std::size_t n : {1u, 7u, 49u, 64u, 131u}) {
      std::vector<double> t(n), x0(n * dim), x1(n * dim), grouped, plain, heads;
      for (std::size_t i = 0; i < n; ++i) t[i] = double(i) / double(n);
      for (std::size_t i = 0; i < n * dim; ++i) {
        x0[i] = std::cos(1.3 * double(i));
        x1[i] = std::sin(0.7 * double(i));
      }
      TrainOptions all;
      all.train_heads = true;  // neurons are not grouped then
      const double a = Trainer<double>(w, {}).loss(t, x0, x1, &grouped, nullptr);
      const double b = Trainer<double>(w, all).loss(t, x0, x1, &plain, &heads);
      CHECK(a == doctest::Approx(b).epsilon(1e-13));  // another order of sums
      for (std::size_t i = 0; i < plain.size(); ++i) {
        CHECK(grouped[i] == doctest::Approx(plain[i]).epsilon(1e-12).scale(0.1));
      }
    }
  }
}

TEST_CASE("training goes down and its bits do not depend on threads") {
  std::vector<double> x0(2000), x1(2000), losses(20), again(20);
  for (std::size_t i = 0; i < x0.size(); ++i) {
    x0[i] = std::sin(double(i));
    x1[i] = 2 + std::cos(1.3 * double(i));
  }
  TrainOptions options;
  options.redraw_times = true;
  options.threads = 1;
  Trainer<float> one(some(2, 300), options);
  CHECK(one.run({}, x0, x1, 20, losses, {}) == Trainer<float>::End::finished);
  CHECK(losses.back() < losses.front());
  options.threads = 2;
  Trainer<float> two(some(2, 300), options);
  two.run({}, x0, x1, 20, again, {});
  CHECK(losses == again);
  CHECK(one.weights().hidden == two.weights().hidden);
}

TEST_CASE("weights that do not fit are refused") {
  NetworkWeights w = some(2, 5);
  w.heads.pop_back();
  CHECK_THROWS_AS(ReluNetwork{w}, std::invalid_argument);
  w = some(2, 5);
  w.hidden[3] = std::nan("");
  CHECK_THROWS_AS(ReluNetwork{w}, std::invalid_argument);
  CHECK_THROWS_AS(ReluNetwork(some(2, 5)).slopes(0, 1), std::invalid_argument);
}

TEST_CASE("rows that do not fit are refused") {
  Trainer<double> trainer(some(2, 5), {});
  static_assert(!std::is_copy_constructible_v<Trainer<double>>);
  const std::vector<double> t{0.2, 0.7}, x0{1.0, -0.5, 0.3, 0.8}, x1{0.1, 0.4, -1.0, 2.0};
  std::vector<double> losses(3);
  const auto run = [&](auto ts, auto a, auto b, std::size_t epochs) {
    trainer.run(ts, a, b, epochs, losses, {});
  };
  using View = std::span<const double>;
  const View ts = t, a = x0, b = x1, none;
  CHECK_THROWS_AS(run(ts, a, b.first(2), 1), std::invalid_argument);
  CHECK_THROWS_AS(run(ts, a.first(3), b.first(3), 1), std::invalid_argument);
  CHECK_THROWS_AS(run(ts.first(1), a, b, 1), std::invalid_argument);
  CHECK_THROWS_AS(run(none, a, b, 1), std::invalid_argument);
  CHECK_THROWS_AS(run(none, none, none, 1), std::invalid_argument);
  CHECK_THROWS_AS(run(ts, a, b, 4), std::invalid_argument);
  CHECK_THROWS_AS(trainer.loss(ts, a, b.first(2), nullptr, nullptr), std::invalid_argument);
  CHECK_THROWS_AS(trainer.loss(none, a, b, nullptr, nullptr), std::invalid_argument);
  CHECK(trainer.steps() == 0);
  run(ts, a, b, 3);
  CHECK(trainer.steps() == 3);
}

TEST_CASE("a stop within an epoch goes back to its begin") {
  std::vector<double> x0(200), x1(200), losses(4), again(4);
  for (std::size_t i = 0; i < x0.size(); ++i) {
    x0[i] = std::sin(double(i));
    x1[i] = 2 + std::cos(1.3 * double(i));
  }
  TrainOptions options;
  options.optimiser = TrainOptions::Optimiser::adam;
  options.redraw_times = options.train_heads = true;
  options.batch = 16;
  Trainer<float> whole(some(2, 30), options), cut(some(2, 30), options);
  whole.run({}, x0, x1, 4, losses, {});
  int asked = 0;
  const auto end = cut.run({}, x0, x1, 4, again, [&](std::size_t, std::size_t) {
    return ++asked < 12;  // 1 + 6 batches an epoch, so within the second
  });
  CHECK(end == Trainer<float>::End::stopped);
  CHECK(cut.epochs() == 1);
  CHECK(cut.steps() == 7);
  cut.run({}, x0, x1, 3, again, {});
  CHECK(whole.weights().hidden == cut.weights().hidden);
  CHECK(whole.weights().heads == cut.weights().heads);
}
