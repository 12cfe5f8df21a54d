// Special functions, curves and quantiles of laws, and table lookups, in ns a point.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "recouple/numeric.hpp"
#include "recouple/quantile.hpp"

namespace {

using namespace recouple;

constexpr std::size_t points = 4096;

std::vector<double> uniforms() {
  std::mt19937_64 generator(1);
  std::vector<double> u(points);
  for (double& v : u) v = (double(generator() >> 12) + 0.5) * 0x1p-52;
  return u;
}

void per_point(benchmark::State& state) {
  state.counters["ns"] =
      benchmark::Counter(double(state.iterations()) * double(points) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <void (*f)(std::span<const double>, std::span<double>) noexcept>
void special(benchmark::State& state) {
  const std::vector<double> u = uniforms();
  std::vector<double> y(points);
  for (auto _ : state) {
    f(u, y);
    benchmark::DoNotOptimize(y.data());
  }
  per_point(state);
}

AnyMarginal mixture(std::size_t size) {
  std::vector<double> weights(size, 1.0), means(size), stds(size);
  for (std::size_t k = 0; k < size; ++k) {
    means[k] = 3 * std::sin(7.0 * double(k));
    stds[k] = 0.3 + 0.1 * double(k % 5);
  }
  return NormalMixture(weights, means, stds);
}

void curve(benchmark::State& state, Curve which, const AnyMarginal& law) {
  const std::vector<double> u = uniforms();
  std::vector<double> y(points);
  for (auto _ : state) {
    law.evaluate(which, u, y);
    benchmark::DoNotOptimize(y.data());
  }
  per_point(state);
}

void smoothed(benchmark::State& state) {
  const std::size_t n = 10'000;
  std::vector<double> weights(n, 1.0), means(n), stds(n, 0.1);
  std::vector<double> u = uniforms();
  for (std::size_t k = 0; k < n; ++k) means[k] = numeric::normal_quantile(u[k % points]);
  curve(state, Curve::cdf, NormalMixture(weights, means, stds));
}

void build_table(benchmark::State& state) {
  const AnyMarginal law = mixture(3);
  for (auto _ : state) benchmark::DoNotOptimize(Tabulated(law, 1e-12).size());
}

}  // namespace

BENCHMARK(special<numeric::exp>)->Name("exp");
BENCHMARK(special<numeric::log>)->Name("log");
BENCHMARK(special<numeric::erf>)->Name("erf");
BENCHMARK(special<numeric::erfc>)->Name("erfc");
BENCHMARK(special<numeric::normal_cdf>)->Name("normal cdf");
BENCHMARK(special<numeric::normal_quantile>)->Name("normal quantile");
BENCHMARK_CAPTURE(curve, mixture of 3 cdf, Curve::cdf, mixture(3));
BENCHMARK_CAPTURE(curve, mixture of 3 ppf, Curve::ppf, mixture(3));
BENCHMARK_CAPTURE(curve, mixture of 100 ppf, Curve::ppf, mixture(100));
BENCHMARK_CAPTURE(curve, table ppf, Curve::ppf, AnyMarginal(Tabulated(mixture(3), 1e-12)));
BENCHMARK(smoothed)->Name("10^4 smoothed samples cdf");
BENCHMARK(build_table)->Name("tabulate")->Unit(benchmark::kMicrosecond);
