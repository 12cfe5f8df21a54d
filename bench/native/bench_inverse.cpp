// A Newton step of the entropic dual, and the factorisation inside it.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "recouple/cholesky.hpp"
#include "recouple/inverse.hpp"

namespace {

// Moments of the independent plan: the work of a step does not depend on the data.
void newton_step(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const auto times = static_cast<std::size_t>(state.range(1));
  const int threads = static_cast<int>(state.range(2));
  const std::size_t intervals = n / 2 - 5;
  std::vector<double> x(n), reference;
  for (std::size_t i = 0; i < n; ++i) x[i] = -5 + 10 * double(i) / double(n - 1);
  double total = 0;
  for (const double a : x) {
    for (const double b : x) {
      reference.push_back(std::exp(-0.5 * (a * a + b * b)));
      total += reference.back();
    }
  }
  for (double& m : reference) m /= total;
  std::vector<recouple::SplineFeatures> features;
  for (std::size_t k = 0; k < times; ++k) {
    const double t = double(k) / double(times - 1);
    features.push_back({1 - t, t, -5, 10 / double(intervals), intervals});
  }
  recouple::EntropicDual dual(x, x, reference, features, 5);
  const std::vector<double> moments = dual.moments(), penalty(dual.size(), 1e-8);
  const std::vector<double> start(dual.size(), 1e-3);
  for (auto _ : state) {
    dual.set_theta(start);
    const auto stage =
        dual.solve(moments, penalty, {.max_iterations = 1, .decrement = 0, .threads = threads});
    if (!std::isfinite(stage.residual)) state.SkipWithError("the step diverged");
  }
}
BENCHMARK(newton_step)
    ->ArgNames({"n", "times", "threads"})
    ->Args({96, 17, 1})
    ->Args({96, 17, 2})
    ->Args({128, 17, 1})
    ->Args({128, 17, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void factor(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  std::vector<double> matrix(n * n), work(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      matrix[i * n + j] = std::exp(-std::abs(double(i) - double(j))) + (i == j ? 1 : 0);
    }
  }
  for (auto _ : state) {
    work = matrix;
    if (!recouple::cholesky(work, n, static_cast<int>(state.range(1)))) {
      state.SkipWithError("not positive definite");
    }
  }
  state.counters["GFLOP/s"] = benchmark::Counter(double(n) * double(n) * double(n) / 3 * 2 * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(factor)
    ->ArgNames({"n", "threads"})
    ->Args({816, 1})
    ->Args({2112, 1})
    ->Args({2112, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
