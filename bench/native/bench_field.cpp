// Velocity fields per point: the kernels behind plans, on blocks that stay in cache.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "recouple/field.hpp"
#include "recouple/field_grid.hpp"

using namespace recouple;

namespace {

std::vector<double> waves(std::size_t n, double scale = 1.5) {
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = scale * std::sin(1.7 * double(i) + 0.3);
  return x;
}

MixturePlan mixture(std::size_t dim, std::size_t components) {
  const std::size_t w = 2 * dim;
  std::vector<double> covs(components * w * w, 0.0);
  for (std::size_t k = 0; k < components; ++k) {
    for (std::size_t i = 0; i < w; ++i) covs[(k * w + i) * w + i] = 0.5 + 0.1 * double((i + k) % 7);
  }
  return make_mixture_plan(std::vector<double>(components, 1.0), waves(components * w), covs);
}

GridPlan grid(std::size_t n) {
  std::vector<double> x(n), mass;
  for (std::size_t i = 0; i < n; ++i) x[i] = -5 + 10 * double(i) / double(n - 1);
  for (const double a : x) {
    for (const double b : x) mass.push_back(std::exp(-0.5 * (a * a + b * b - a * b)));
  }
  return make_grid_plan(x, x, mass);
}

void run(benchmark::State& state, const AnyField& field, std::size_t points) {
  const std::vector<double> x = waves(points * field.dim());
  std::vector<double> v(x.size());
  for (auto _ : state) {
    field(0.37, x, v);
    benchmark::DoNotOptimize(v.data());
  }
  state.SetItemsProcessed(std::int64_t(points) * state.iterations());
}

void mixture_on_the_line(benchmark::State& state) {
  run(state, velocity_field(mixture(1, std::size_t(state.range(0)))), 1024);
}
void mixture_in_space(benchmark::State& state) {
  const AnyField field =
      velocity_field(mixture(std::size_t(state.range(0)), std::size_t(state.range(1))));
  run(state, field, 1024);
}
void data_set(benchmark::State& state) {
  const auto dim = std::size_t(state.range(0)), rows = std::size_t(state.range(1));
  run(state, velocity_field(make_dataset_plan(dim, waves(dim * rows), 1)), 480);
}
void grid_plan(benchmark::State& state) {
  run(state, velocity_field(grid(std::size_t(state.range(0)))), 1024);
}
void grid_field(benchmark::State& state) {
  std::vector<double> t, x;
  for (int i = 0; i < 33; ++i) t.push_back(i / 32.0);
  for (int i = 0; i < 129; ++i) x.push_back(-2 + i / 32.0);
  run(state, GridField(t, x, waves(33 * 129), false, Extrapolation::linear), 1024);
}

BENCHMARK(mixture_on_the_line)->Arg(1)->Arg(3)->Arg(235);
BENCHMARK(mixture_in_space)->Args({2, 3})->Args({16, 1})->Args({16, 3})->Args({64, 1});
BENCHMARK(data_set)->Args({2, 1000})->Args({64, 1000})->Args({784, 1000});
BENCHMARK(grid_plan)->Arg(64)->Arg(128);
BENCHMARK(grid_field);

}  // namespace
