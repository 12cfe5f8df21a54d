#include "recouple/inverse_descent.hpp"

#include <algorithm>
#include <cmath>

#include "inverse_shared.hpp"
#include "kernels/inverse.hpp"
#include "kernels/inverse_descent.hpp"
#include "recouple/numeric.hpp"

namespace recouple {
namespace {

constexpr double ns_a_touch = 0.5;  // of one point by one time

// A descent is one short region after another: alone it stays serial a good while.
int team_for(std::size_t points, std::size_t times, int threads) noexcept {
  const double work = ns_a_touch * double(points) * double(times);
  const double least = threads > 0 ? serial_cutoff_ns : repeated_region_cutoff_ns;
  return work < least ? 1 : threads_for(work, threads);
}

// Mass left of s of the trapezoid on [-1/2, 1/2] that is the sum of uniform laws of widths alpha
// and 1 - alpha.
double trapezoid_cdf(double alpha, double s) noexcept {
  const double wide = std::max(alpha, 1 - alpha), narrow = 1 - wide;
  const double flat = 0.5 * (wide - narrow), beyond = 0.5 - std::abs(s);
  if (std::abs(s) <= flat) return 0.5 + s / wide;
  const double tail = 0.5 * std::max(beyond, 0.0) * std::max(beyond, 0.0) / (wide * narrow);
  return s < 0 ? tail : 1 - tail;
}

}  // namespace

BinnedProjections::BinnedProjections(std::size_t n0, std::size_t n1, double h0, double h1,
                                     std::span<const double> times)
    : n0_(n0), n1_(n1), first_bin_{0}, first_{0} {
  require(n0 > 1 && n1 > 1 && !times.empty(), "the problem must have points and times");
  require(std::isfinite(h0) && std::isfinite(h1) && h0 > 0 && h1 > 0, "spacings must be positive");
  for (std::size_t d = 0; d < diagonals(); ++d) {
    // Diagonal d holds the points with i - j = d - (n1 - 1).
    const std::size_t i = d + 1 > n1 ? d + 1 - n1 : 0, j = n1 - 1 + i - d;
    first_.push_back(first_.back() + std::min(n0 - i, n1 - j));
  }
  cut_.resize(diagonals() * times.size());
  for (std::size_t k = 0; k < times.size(); ++k) {
    const double t = times[k];
    require(t >= 0 && t <= 1, "times must lie in [0, 1]");
    const double alpha = (1 - t) * h0 / ((1 - t) * h0 + t * h1);
    std::size_t count = 0;
    for (std::size_t d = 0; d < diagonals(); ++d) {
      const std::size_t i = d + 1 > n1 ? d + 1 - n1 : 0, j = n1 - 1 + i - d;
      const double place = alpha * (double(i) - double(j)), whole = std::floor(place);
      const double share = trapezoid_cdf(alpha, 0.5 - (place - whole));
      const auto bin = std::max<std::ptrdiff_t>(std::ptrdiff_t(whole) + std::ptrdiff_t(j), 0);
      cut_[d * times.size() + k] = {bin, share};
      count = std::max(count, std::size_t(bin) + first_[d + 1] - first_[d] + 1);
    }
    first_bin_.push_back(first_bin_.back() + count);
  }
}

void BinnedProjections::require_sizes(std::size_t mass, std::size_t packed,
                                      std::size_t bins) const {
  require(mass == points() && packed == points(), "masses must have one entry per grid point");
  require(bins == first_bin_.back(), "bins must have one entry per bin of each time");
}

void BinnedProjections::pack(std::span<const double> mass, std::span<double> packed) const {
  require_sizes(mass.size(), packed.size(), bins());
  for (std::size_t d = 0; d < diagonals(); ++d) {
    const std::size_t i = d + 1 > n1_ ? d + 1 - n1_ : 0, j = n1_ - 1 + i - d;
    for (std::size_t k = 0; k < first_[d + 1] - first_[d]; ++k) {
      packed[first_[d] + k] = mass[(i + k) * n1_ + j + k];
    }
  }
}

void BinnedProjections::unpack(std::span<const double> packed, std::span<double> mass) const {
  require_sizes(mass.size(), packed.size(), bins());
  for (std::size_t d = 0; d < diagonals(); ++d) {
    const std::size_t i = d + 1 > n1_ ? d + 1 - n1_ : 0, j = n1_ - 1 + i - d;
    for (std::size_t k = 0; k < first_[d + 1] - first_[d]; ++k) {
      mass[(i + k) * n1_ + j + k] = packed[first_[d] + k];
    }
  }
}

// A task is a few times: a diagonal then comes from cache for all but the first of them.
void BinnedProjections::project(std::span<const double> packed, std::span<double> bins,
                                int threads) const {
  require_sizes(packed.size(), packed.size(), bins.size());
  constexpr std::size_t few = 4;
  parallel_for((times() + few - 1) / few, team_for(points(), times(), threads),
               [&](std::size_t task) noexcept {
                 const std::size_t from = task * few, to = std::min(times(), from + few);
                 std::fill(&bins[first_bin_[from]], bins.data() + first_bin_[to], 0.0);
                 for (std::size_t d = 0; d < diagonals(); ++d) {
                   for (std::size_t k = from; k < to; ++k) {
                     const Cut& cut = cut_[d * times() + k];
                     kernels<DescentKernels>().spread(&packed[first_[d]], first_[d + 1] - first_[d],
                                                      cut.share, &bins[first_bin_[k]] + cut.bin);
                   }
                 }
               });
}

template <class Finish>
void BinnedProjections::back_project(std::span<const double> bins, int threads,
                                     const Finish& finish) const {
  constexpr std::size_t few = 16;
  const std::size_t longest = std::min(n0_, n1_), tasks = (diagonals() + few - 1) / few;
  std::vector<double> exponents(tasks * longest);
  parallel_for(tasks, team_for(points(), times(), threads), [&](std::size_t task) noexcept {
    double* exponent = &exponents[task * longest];
    for (std::size_t d = task * few; d < std::min(diagonals(), (task + 1) * few); ++d) {
      const std::size_t n = first_[d + 1] - first_[d];
      std::fill_n(exponent, n, 0.0);
      for (std::size_t k = 0; k < times(); ++k) {
        const Cut& cut = cut_[d * times() + k];
        kernels<DescentKernels>().gather(&bins[first_bin_[k]] + cut.bin, n, cut.share, exponent);
      }
      finish(first_[d], exponent, n);
    }
  });
}

void BinnedProjections::adjoint(std::span<const double> bins, std::span<double> packed,
                                int threads) const {
  require_sizes(packed.size(), packed.size(), bins.size());
  back_project(bins, threads, [&](std::size_t p, const double* exponent, std::size_t n) noexcept {
    std::copy_n(exponent, n, &packed[p]);
  });
}

void BinnedProjections::tilt(std::span<const double> reference, std::span<const double> bins,
                             std::span<double> packed, int threads) const {
  require_sizes(reference.size(), packed.size(), bins.size());
  back_project(bins, threads, [&](std::size_t p, const double* exponent, std::size_t n) noexcept {
    kernels<InverseKernels>().tilt(&reference[p], exponent, &packed[p], n);
  });
}

MirrorDescent::MirrorDescent(BinnedProjections projections, std::span<const double> reference,
                             std::span<const double> data, std::span<const double> weights)
    : projections_(std::move(projections)),
      reference_(projections_.points()),
      data_(data.begin(), data.end()),
      weight_(projections_.bins()),
      theta_(projections_.bins(), 0.0) {
  const auto sound = [](std::span<const double> values) {
    return std::all_of(values.begin(), values.end(),
                       [](double v) { return std::isfinite(v) && v >= 0; });
  };
  require(reference.size() == projections_.points() && sound(reference),
          "reference must have one mass per point, finite and not negative");
  require(data.size() == projections_.bins() && sound(data),
          "data must have one mass per bin, finite and not negative");
  require(weights.size() == projections_.times() && sound(weights),
          "weights must have one entry per time, finite and not negative");
  double total = 0, mass = 0;
  for (const double w : weights) total += w;
  for (const double m : reference) mass += m;
  require(total > 0 && mass > 0, "weights and reference must not vanish");
  const auto first = projections_.first_bin();
  for (std::size_t k = 0; k < weights.size(); ++k) {
    std::fill(&weight_[first[k]], weight_.data() + first[k + 1], weights[k] / total);
  }
  projections_.pack(reference, reference_);
}

void MirrorDescent::set_theta(std::span<const double> theta) {
  require(theta.size() == theta_.size() &&
              std::all_of(theta.begin(), theta.end(), [](double v) { return std::isfinite(v); }),
          "theta must have one finite entry per bin");
  theta_.assign(theta.begin(), theta.end());
}

void MirrorDescent::mass(std::span<double> mass, int threads) const {
  std::vector<double> packed(projections_.points());
  projections_.tilt(reference_, theta_, packed, threads);
  projections_.unpack(packed, mass);
}

// The data term and its derivatives by the bins.
double MirrorDescent::compare(std::span<const double> bins, std::span<double> slope) const {
  for (std::size_t i = 0; i < bins.size(); ++i) {
    slope[i] = (bins[i] + background) / (data_[i] + background);
  }
  numeric::log(slope, slope);
  double sum = 0;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    sum += weight_[i] * ((bins[i] + background) * slope[i] - bins[i] + data_[i]);
    slope[i] *= weight_[i];
  }
  return sum;
}

double MirrorDescent::misfit(std::span<const double> mass, std::span<double> gradient,
                             int threads) const {
  require(mass.size() == projections_.points() && gradient.size() == mass.size(),
          "mass and gradient must have one entry per point");
  std::vector<double> packed(mass.size()), bins(projections_.bins()), slope(bins.size());
  projections_.pack(mass, packed);
  projections_.project(packed, bins, threads);
  const double value = compare(bins, slope);
  projections_.adjoint(slope, packed, threads);
  projections_.unpack(packed, gradient);
  return value;
}

// KL(P || P0) = sum P A' theta - sum P + sum P0, and the first of these is theta . A P.
MirrorDescent::Value MirrorDescent::evaluate(std::span<const double> theta,
                                             std::span<double> packed, std::span<double> slope,
                                             int threads) const {
  projections_.tilt(reference_, theta, packed, threads);
  std::vector<double> bins(projections_.bins());
  projections_.project(packed, bins, threads);
  double divergence = dot(theta, bins);
  for (const double m : reference_) divergence += m;
  for (std::size_t i = 0; i < projections_.first_bin()[1]; ++i) divergence -= bins[i];
  return {compare(bins, slope), divergence};
}

DescentStage MirrorDescent::solve(double lambda, const DescentOptions& options,
                                  const Progress& progress) {
  require(std::isfinite(lambda) && lambda >= 0, "lambda must be finite and not negative");
  const std::size_t n = theta_.size();
  std::vector<double> packed(projections_.points()), slope(n), trial(n), trial_slope(n);
  std::vector<double> before(n), now(n);  // where plain steps led
  Value value = evaluate(theta_, packed, slope, options.threads);
  double objective = value.misfit + lambda * value.divergence;
  DescentStage stage{DualStatus::iteration_limit, 0, 0, 0, {objective}};
  const auto step = [&] {
    for (std::size_t i = 0; i < n; ++i) now[i] = (theta_[i] - slope[i]) / (1 + lambda);
  };
  step();
  before = now;
  int moving = 0;  // iterations since the momentum was last lost
  for (int iteration = 0; iteration < options.max_iterations; ++iteration) {
    if (progress && !progress(std::size_t(iteration), std::size_t(options.max_iterations))) {
      stage.status = DualStatus::interrupted;
      break;
    }
    const double momentum = double(moving) / double(moving + 3);
    for (std::size_t i = 0; i < n; ++i) trial[i] = now[i] + momentum * (now[i] - before[i]);
    const Value next = evaluate(trial, packed, trial_slope, options.threads);
    const double next_objective = next.misfit + lambda * next.divergence;
    if (!(next_objective <= objective)) {
      if (moving == 0) {  // a plain step: what is left is rounding
        const bool rounding = next_objective - objective <= 1e-6 * objective;
        stage.status = rounding ? DualStatus::converged : DualStatus::stalled;
        break;
      }
      moving = 0;
      ++stage.restarts;
      continue;
    }
    theta_.swap(trial);
    slope.swap(trial_slope);
    value = next;
    objective = next_objective;
    stage.objective.push_back(objective);
    before.swap(now);
    step();
    ++moving;
    if (stage.objective.size() > window) {
      const double earlier = stage.objective[stage.objective.size() - 1 - window];
      if (earlier - objective <= options.tolerance * objective) {
        stage.status = DualStatus::converged;
        break;
      }
    }
  }
  stage.misfit = value.misfit;
  stage.divergence = value.divergence;
  return stage;
}

}  // namespace recouple
