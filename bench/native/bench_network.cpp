// One step and one evaluation of a network; RECOUPLE_SIMD=baseline|avx2 measures the other levels.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "recouple/network.hpp"
#include "recouple/theory.hpp"

using namespace recouple;

namespace {

NetworkWeights some(std::size_t dim, std::size_t width) {
  NetworkWeights w{dim, width, 1.0, 1.0, {}, {}, {}};
  for (std::size_t i = 0; i < width * (dim + 2); ++i) w.hidden.push_back(std::sin(1.7 * double(i)));
  for (std::size_t i = 0; i < width * dim; ++i) w.heads.push_back(i % 3 == 0 ? 1.0 : -1.0);
  return w;
}
std::vector<double> points(std::size_t n, double phase) {
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = std::cos(phase * double(i));
  return x;
}

template <class T>
void step(benchmark::State& state) {
  const auto dim = std::size_t(state.range(0)), n = std::size_t{10'000};
  TrainOptions options;
  options.rate = 1e-6;
  options.threads = 1;
  Trainer<T> trainer(some(dim, 1024), options);
  const auto x0 = points(n * dim, 1.3), x1 = points(n * dim, 0.7), t = points(n, 0.1);
  double loss = 0;
  for (auto _ : state) trainer.run(t, x0, x1, 1, {&loss, 1}, {});
  state.SetItemsProcessed(state.iterations() * std::int64_t(n));
}
BENCHMARK_TEMPLATE(step, float)->Arg(1)->Arg(2)->Arg(3)->Arg(4)->Arg(16)->Arg(64);
BENCHMARK_TEMPLATE(step, double)->Arg(2)->Arg(64);

void forward(benchmark::State& state) {
  const auto dim = std::size_t(state.range(0)), n = std::size_t{10'000};
  const ReluNetwork net(some(dim, 1024));
  const auto x = points(n * dim, 1.3);
  std::vector<double> v(x.size());
  for (auto _ : state) net(0.3, x, v);
  state.SetItemsProcessed(state.iterations() * std::int64_t(n));
}
BENCHMARK(forward)->Arg(1)->Arg(2)->Arg(64);

void gram(benchmark::State& state) {
  const std::size_t n = 1024;
  const auto z = points(n * 4, 1.3);
  std::vector<double> h(n * n);
  for (auto _ : state) ntk_gram(z, 4, false, h, 1);
  state.SetItemsProcessed(state.iterations() * std::int64_t(n * n));
}
BENCHMARK(gram);

}  // namespace
