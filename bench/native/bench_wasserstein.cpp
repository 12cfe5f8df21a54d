// Sorts and distances on the line, in C++ alone (the Python package lends NumPy's sort instead).
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "recouple/simd.hpp"
#include "recouple/sort.hpp"
#include "recouple/wasserstein.hpp"

namespace {

std::vector<double> draw(std::size_t n, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& value : x) value = normal(engine);
  return x;
}

std::vector<double> weights(std::size_t n, unsigned seed) {
  std::vector<double> w = draw(n, seed);
  for (double& value : w) value = value * value + 0.1;
  return w;
}

void label(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetLabel(std::string(recouple::current_sort().name) + ", " +
                 std::string(recouple::name(recouple::simd_level())));
}

void sort(benchmark::State& state) {
  const std::vector<double> x = draw(static_cast<std::size_t>(state.range(0)), 1);
  std::vector<double> out(x.size());
  const int threads = static_cast<int>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(recouple::sort(x, out, threads));
  label(state);
}
BENCHMARK(sort)->ArgsProduct({{1000, 100'000, 1'000'000}, {1, 2}})->UseRealTime();

void sort_with_weights(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  const std::vector<double> x = draw(n, 1), w = weights(n, 2);
  std::vector<double> sorted(n), carried(n);
  const int threads = static_cast<int>(state.range(1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(recouple::sort_with_weights(x, w, sorted, carried, threads));
  }
  label(state);
}
BENCHMARK(sort_with_weights)->ArgsProduct({{1000, 100'000, 1'000'000}, {1, 2}})->UseRealTime();

// Second argument: 0 equal sizes, 1 unequal, 2 weighted; third: twice the order p.
void sorted_distance(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  const bool weighted = state.range(1) == 2;
  const std::size_t m = state.range(1) == 0 ? n : n - n / 3, row = 0;
  const std::vector<double> x = draw(n, 1), y = draw(m, 2), a = weights(n, 3), b = weights(m, 4);
  std::vector<double> u(n), v(m);
  if (!recouple::sort(x, u) || !recouple::sort(y, v)) return;
  recouple::Samples<double> left{u, n, {}}, right{v, m, {}};
  if (weighted) left.weights = a, right.weights = b;
  double out = 0;
  for (auto _ : state) {
    recouple::wasserstein_1d(left, right, {&row, 1}, {&row, 1},
                             {double(state.range(2)) / 2, true, true, 1}, {&out, 1});
    benchmark::DoNotOptimize(out);
  }
  label(state);
}
BENCHMARK(sorted_distance)->ArgsProduct({{1'000'000}, {0, 1, 2}, {2, 4, 5, 6}});

}  // namespace
