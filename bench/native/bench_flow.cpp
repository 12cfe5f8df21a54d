// Integration of a batch, per method, and what a call costs by itself.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "recouple/flow.hpp"

namespace {

recouple::AnyField mixture(std::size_t components) {
  std::mt19937_64 rng(1);
  std::normal_distribution<double> normal;
  std::vector<double> weights, means, covs;
  for (std::size_t k = 0; k < components; ++k) {
    weights.push_back(1);
    for (int i = 0; i < 2; ++i) means.push_back(1.5 * normal(rng));
    for (const double c : {0.4, 0.1, 0.1, 0.5}) covs.push_back(c);
  }
  return recouple::velocity_field(recouple::make_mixture_plan(weights, means, covs));
}

std::vector<double> points(std::size_t n) {
  std::mt19937_64 rng(2);
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& v : x) v = 1.5 * normal(rng);
  return x;
}

void run(benchmark::State& state, const recouple::FlowOptions& options, std::size_t components) {
  const auto x = points(static_cast<std::size_t>(state.range(0)));
  const auto field = mixture(components);
  double evaluations = 0;
  for (auto _ : state) {
    const recouple::Flow flow = recouple::integrate(field, x, 0, 1, options);
    if (!flow.ok()) state.SkipWithError("a trajectory failed");
    for (const auto e : flow.evaluations) evaluations += double(e);
  }
  state.counters["ns_per_evaluation"] = benchmark::Counter(
      evaluations * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void rk4_100_steps(benchmark::State& state) {
  recouple::FlowOptions options;
  options.method = recouple::Method::rk4;
  options.steps = 100;
  options.threads = static_cast<int>(state.range(1));
  run(state, options, 3);
}
BENCHMARK(rk4_100_steps)
    ->ArgNames({"n", "threads"})
    ->Args({100'000, 1})
    ->Args({100'000, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void adaptive(benchmark::State& state, recouple::Method method, bool log_det) {
  recouple::FlowOptions options;
  options.method = method;
  options.rtol = options.atol = 1e-8;
  options.threads = static_cast<int>(state.range(1));
  if (log_det) options.carried = recouple::Carried::log_det;
  run(state, options, 3);
}
BENCHMARK_CAPTURE(adaptive, bosh3, recouple::Method::bosh3, false)
    ->ArgNames({"n", "threads"})
    ->Args({10'000, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(adaptive, dopri5, recouple::Method::dopri5, false)
    ->ArgNames({"n", "threads"})
    ->Args({100'000, 1})
    ->Args({100'000, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(adaptive, dopri5_log_det, recouple::Method::dopri5, true)
    ->ArgNames({"n", "threads"})
    ->Args({100'000, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(adaptive, tsit5, recouple::Method::tsit5, false)
    ->ArgNames({"n", "threads"})
    ->Args({100'000, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(adaptive, dop853, recouple::Method::dop853, false)
    ->ArgNames({"n", "threads"})
    ->Args({100'000, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void many_components(benchmark::State& state) {
  recouple::FlowOptions options;
  options.threads = static_cast<int>(state.range(1));
  run(state, options, 235);
}
BENCHMARK(many_components)
    ->ArgNames({"n", "threads"})
    ->Args({3000, 1})
    ->Args({3000, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void one_trajectory_one_step(benchmark::State& state) {
  recouple::FlowOptions options;
  options.method = recouple::Method::rk4;
  options.steps = 1;
  const auto field = mixture(1);
  const auto x = points(1);
  for (auto _ : state) benchmark::DoNotOptimize(recouple::integrate(field, x, 0, 1, options));
}
BENCHMARK(one_trajectory_one_step);

}  // namespace
