// A project of its own that embeds recouple: quantiles, a field type of the user's, Wasserstein
// distances, and the recovery of a plan. Prints one line each and fails if one is wrong.
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

#include "recouple/field.hpp"
#include "recouple/flow.hpp"
#include "recouple/inverse.hpp"
#include "recouple/marginal.hpp"
#include "recouple/plan.hpp"
#include "recouple/quantile.hpp"
#include "recouple/version.hpp"
#include "recouple/wasserstein.hpp"

namespace {

int failures = 0;

void report(const char* what, double value, double wanted, double tolerance) {
  const bool good = std::abs(value - wanted) <= tolerance;
  std::printf("%s %.6f%s\n", what, value, good ? "" : "  WRONG");
  if (!good) ++failures;
}

// Quantiles of any law, from a certified table.
void quantiles() {
  const std::vector<double> weights{0.5, 0.5}, means{-2.0, 2.0}, stds{1.0, 1.0};
  const recouple::AnyMarginal law(recouple::NormalMixture(weights, means, stds));
  const recouple::AnyMarginal table(recouple::Tabulated(law, 1e-12));
  const std::vector<double> u{0.1, 0.5, 0.9};
  std::vector<double> x(u.size()), back(u.size());
  recouple::evaluate_checked(table, recouple::Curve::ppf, u, x, 0);
  law.cdf(x, back);
  report("median", x[1], 0.0, 1e-11);
  report("cdf of the first decile", back[0], 0.1, 1e-12);
}

// A field is any type with dim() and this call; it runs in the solvers without being erased twice.
struct Decay {  // dx/dt = -x
  std::size_t dim() const noexcept { return 1; }
  void operator()(double, std::span<const double> x, std::span<double> v) const noexcept {
    for (std::size_t i = 0; i < x.size(); ++i) v[i] = -x[i];
  }
};

void flows() {
  const std::vector<double> x0{1.0, -2.0};
  recouple::FlowOptions options;
  options.rtol = 1e-9, options.atol = 1e-12;
  const recouple::Flow flow =
      recouple::integrate(recouple::AnyField(Decay{}), x0, 0.0, 1.0, options);
  report("decay", flow.x[0], std::exp(-1.0), 1e-8);
}

void distances() {
  const std::vector<double> a{0.0, 1.0, 3.0}, b{5.0, 6.0, 8.0};
  double distance = 0;
  const std::size_t row = 0;
  recouple::wasserstein_1d(recouple::Samples<double>{a, 3}, {b, 3}, {&row, 1}, {&row, 1}, {},
                           {&distance, 1});
  report("wasserstein", distance, 5.0, 1e-14);
}

// The plan N(0, [[1, .6], [.6, 1]]) from the laws of X_t alone: moments of each law in B-splines,
// then the plan closest to the independent one that has them.
void recovery() {
  constexpr std::size_t n = 64, times = 9;
  constexpr int degree = 5, nodes = 6;
  std::vector<double> x(n), reference(n * n);
  for (std::size_t i = 0; i < n; ++i) x[i] = -5.0 + 10.0 * double(i) / double(n - 1);
  for (std::size_t i = 0; i < n * n; ++i) {
    reference[i] = std::exp(-0.5 * (x[i / n] * x[i / n] + x[i % n] * x[i % n]));
  }
  const double total = std::accumulate(reference.begin(), reference.end(), 0.0);
  for (double& mass : reference) mass /= total;

  std::vector<recouple::SplineFeatures> features;
  std::vector<double> moments;
  for (std::size_t k = 0; k < times; ++k) {
    const double t = double(k) / double(times - 1);
    features.push_back({1 - t, t, -5.0, 10.0 / 27, 27});
    const auto at = recouple::moment_abscissae(features.back(), nodes);
    const double std = std::sqrt((1 - t) * (1 - t) + t * t + 1.2 * t * (1 - t));
    std::vector<double> cdf(at.size());
    recouple::AnyMarginal(recouple::Normal(0.0, std)).cdf(at, cdf);
    const auto some = recouple::spline_moments_of_cdf(features.back(), degree, nodes, cdf);
    moments.insert(moments.end(), some.begin(), some.end());
  }
  recouple::EntropicDual dual(x, x, reference, features, degree);
  for (const double lambda : {1e-3, 1e-4, 1e-5, 1e-6, 1e-7}) {
    dual.solve(moments, std::vector<double>(dual.size(), lambda), {});
  }
  double covariance = 0, mass = 0;
  for (std::size_t i = 0; i < n * n; ++i) {
    covariance += dual.mass()[i] * x[i / n] * x[i % n];
    mass += dual.mass()[i];
  }
  report("covariance", covariance / mass, 0.6, 1e-3);
}

void fields() {
  const auto plan = recouple::make_mixture_plan(std::vector{1.0}, std::vector{0.0, 1.0},
                                                std::vector{1.0, 0.5, 0.5, 2.0});
  const recouple::AnyField field = recouple::velocity_field(plan);
  const double x = 1.0;
  double v = 0;
  field(0.0, {&x, 1}, {&v, 1});
  report("velocity", v, 0.5, 1e-15);
}

}  // namespace

int main() {
  std::printf("recouple %d.%d.%d\n", RECOUPLE_VERSION_MAJOR, RECOUPLE_VERSION_MINOR,
              RECOUPLE_VERSION_PATCH);
  quantiles();
  flows();
  distances();
  fields();
  recovery();
  return failures;
}
