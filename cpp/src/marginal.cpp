#include "recouple/marginal.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/marginal.hpp"
#include "recouple/numeric.hpp"
#include "recouple/parallel.hpp"

namespace recouple {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t block = 256;

[[noreturn]] void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

void require(bool condition, const char* message) {
  if (!condition) refuse(message);
}

std::string entry(const char* name, std::size_t i) {
  return std::string(name) + "[" + std::to_string(i) + "]";
}

// A sum that carries its rounding errors along (Neumaier 1974).
class Sum {
 public:
  void add(double x) noexcept {
    const double s = high_ + x;
    low_ += std::abs(high_) >= std::abs(x) ? (high_ - s) + x : (x - s) + high_;
    high_ = s;
  }
  double value() const noexcept { return high_ + low_; }

 private:
  double high_ = 0, low_ = 0;
};

double checked_total(std::span<const double> weights) {
  Sum total;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (!(std::isfinite(weights[k]) && weights[k] >= 0))
      refuse(entry("weights", k) + " must be finite and not negative, got " +
             std::to_string(weights[k]));
    total.add(weights[k]);
  }
  const double sum = total.value();
  require(std::isfinite(sum) && sum > 0, "weights must have a positive, finite sum");
  // Weights normalised before miss 1 by half an eps at most; they stay as they are, bit for bit.
  return std::abs(sum - 1) <= std::numeric_limits<double>::epsilon() / 2 ? 1.0 : sum;
}

}  // namespace

namespace {

bool takes_probabilities(Curve curve) noexcept {
  return curve == Curve::ppf || curve == Curve::isf;
}

bool acceptable(Curve curve, double x) noexcept {
  return takes_probabilities(curve) ? x >= 0 && x <= 1 : !std::isnan(x);
}

// Reads the numbers as integers, which order like positive doubles: the sign bit of the sum of
// bits tells of a number out of order. Only -0.0 is suspected in vain.
bool acceptable(Curve curve, std::span<const double> in) noexcept {
  std::uint64_t suspect = 0;
  if (takes_probabilities(curve)) {
    constexpr auto one = std::bit_cast<std::uint64_t>(1.0);
    for (const double u : in) {
      const auto bits = std::bit_cast<std::uint64_t>(u);
      suspect |= bits | (one - bits);
    }
  } else {
    constexpr auto most = std::bit_cast<std::uint64_t>(infinity);
    for (const double x : in) {
      suspect |= most - (std::bit_cast<std::uint64_t>(x) & ~(std::uint64_t{1} << 63));
    }
  }
  return (suspect >> 63) == 0 ||
         std::all_of(in.begin(), in.end(), [=](double x) { return acceptable(curve, x); });
}

template <bool Checked>
bool evaluate_blocks(const AnyMarginal& law, Curve curve, std::span<const double> in,
                     std::span<double> out, int threads) {
  if (law.foreign(curve)) {
    if (Checked && !acceptable(curve, in)) return false;
    law.evaluate(curve, in, out);
    return true;
  }
  constexpr std::size_t chunk = 4096;
  const std::size_t chunks = (in.size() + chunk - 1) / chunk;
  const int team = threads_for(law.cost_ns(curve) * double(in.size()), threads);
  std::atomic<bool> good = true;
  parallel_for(chunks, team, [&](std::size_t c) noexcept {
    const std::size_t first = c * chunk, count = std::min(chunk, in.size() - first);
    const auto some = in.subspan(first, count);
    if (Checked && !acceptable(curve, some)) {  // while they are in cache
      good.store(false, std::memory_order_relaxed);
    } else {
      law.evaluate(curve, some, out.subspan(first, count));
    }
  });
  return good.load(std::memory_order_relaxed);
}

}  // namespace

void check(Curve curve, std::span<const double> in) {
  if (acceptable(curve, in)) return;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (acceptable(curve, in[i])) continue;
    const std::string at = " at position " + std::to_string(i);
    if (std::isnan(in[i])) {
      refuse(std::string(takes_probabilities(curve) ? "u" : "x") + " must not be NaN, got NaN" +
             at);
    }
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), in[i]).ptr;
    refuse("u must lie in [0, 1], got " + std::string(digits.data(), end) + at);
  }
}

void evaluate(const AnyMarginal& law, Curve curve, std::span<const double> in,
              std::span<double> out, int threads) {
  evaluate_blocks<false>(law, curve, in, out, threads);
}

void evaluate_checked(const AnyMarginal& law, Curve curve, std::span<const double> in,
                      std::span<double> out, int threads) {
  if (!evaluate_blocks<true>(law, curve, in, out, threads)) check(curve, in);
}

// Landmarks for the search of quantiles, a few around each component. Their points are laid out
// when the first quantile is wanted, their scores when enough are wanted to pay for them.
struct NormalMixture::Survey {
  std::once_flag laid_out, scored;
  std::vector<double> x, score, slope;
};

NormalMixture::NormalMixture(std::span<const double> weights, std::span<const double> means,
                             std::span<const double> stds) {
  require(!weights.empty(), "weights must not be empty");
  if (!(means.size() == weights.size() && stds.size() == weights.size()))
    refuse("weights, means and stds must have one length, got " + std::to_string(weights.size()) +
           ", " + std::to_string(means.size()) + " and " + std::to_string(stds.size()));
  const double total = checked_total(weights);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (!(std::isfinite(means[k])))
      refuse(entry("means", k) + " must be finite, got " + std::to_string(means[k]));
    if (!(std::isfinite(stds[k]) && stds[k] > 0))
      refuse(entry("stds", k) + " must be positive, got " + std::to_string(stds[k]));
    const double w = weights[k] / total, s = stds[k];
    if (w == 0) continue;
    constexpr double root_two_pi = 2.5066282746310005024;
    weights_.push_back(w);
    log_weight_.push_back(std::log(w));
    means_.push_back(means[k]);
    stds_.push_back(s);
    inverse_.push_back(1 / s);
    inverse_low_.push_back(-std::fma(1 / s, s, -1.0) / s);
    peak_.push_back(w / s / root_two_pi);
    log_peak_.push_back(std::log(w) - std::log(s) - std::log(root_two_pi));
  }
  size_ = weights_.size();
  Sum mean, variance;
  for (std::size_t k = 0; k < size(); ++k) mean.add(weights_[k] * means_[k]);
  mean_ = mean.value();
  for (std::size_t k = 0; k < size(); ++k) {
    const double d = means_[k] - mean_;
    variance.add(weights_[k] * (stds_[k] * stds_[k] + d * d));
  }
  std_ = std::sqrt(variance.value());
  least_std_ = *std::min_element(stds_.begin(), stds_.end());
  if (size_ > 32 &&
      std::all_of(stds_.begin(), stds_.end(), [&](double s) { return s == least_std_; })) {
    sort_components();
  }
  survey_ = std::make_shared<Survey>();
}

void NormalMixture::sort_components() {
  std::vector<std::size_t> order(size_);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return means_[i] < means_[j]; });
  for (std::vector<double>* v : {&weights_, &means_, &peak_, &log_peak_, &log_weight_}) {
    std::vector<double> sorted;
    for (const std::size_t i : order) sorted.push_back((*v)[i]);
    *v = std::move(sorted);
  }
  log_least_weight_ = *std::min_element(log_weight_.begin(), log_weight_.end());
  const std::size_t padded = (size_ + 7) / 8 * 8;
  weights_.resize(padded, 0.0);
  peak_.resize(padded, 0.0);
  log_weight_.resize(padded, -infinity);
  log_peak_.resize(padded, -infinity);
  for (std::vector<double>* v : {&means_, &stds_, &inverse_, &inverse_low_}) {
    v->resize(padded, v->back());
  }
  left_.resize(padded + 1);
  right_.resize(padded + 1);
  Sum before, after;
  for (std::size_t k = 0; k < padded; ++k) {
    before.add(weights_[k]);
    left_[k + 1] = before.value();
    after.add(weights_[padded - 1 - k]);
    right_[padded - 1 - k] = after.value();
  }
}

Support NormalMixture::support() const noexcept {
  return {-infinity, infinity};
}

double NormalMixture::cost_ns(Curve curve) const noexcept {
  const double k = std::min(double(size()), left_.empty() ? 1e9 : 64.0);
  return curve == Curve::ppf || curve == Curve::isf ? 20 + 15 * k : 4 + 5 * k;
}

LineMixture NormalMixture::line_mixture() const noexcept {
  const bool sorted = !left_.empty();
  return {weights_.size(),
          weights_.data(),
          log_weight_.data(),
          means_.data(),
          stds_.data(),
          inverse_.data(),
          inverse_low_.data(),
          peak_.data(),
          log_peak_.data(),
          least_std_,
          sorted ? left_.data() : nullptr,
          sorted ? right_.data() : nullptr,
          log_least_weight_};
}

Landmarks NormalMixture::landmarks(std::size_t wanted) const {
  Survey& s = *survey_;
  std::call_once(s.laid_out, [&] {
    const auto lay_out = [&](std::span<const double> scores) {
      double last = -infinity;  // sorted components nearer than half a std to the last add nothing
      for (std::size_t k = 0; k < size(); ++k) {
        if (!left_.empty() && means_[k] < last + 0.5 * least_std_) continue;
        last = means_[k];
        for (const double z : scores) s.x.push_back(means_[k] + z * stds_[k]);
      }
    };
    if (size() <= 16) {
      lay_out(std::array{-8.0, -6.5, -5.2, -4.2, -3.5, -3.0, -2.5, -2.0, -1.6,
                         -1.2, -0.8, -0.4, 0.0,  0.4,  0.8,  1.2,  1.6,  2.0,
                         2.5,  3.0,  3.5,  4.2,  5.2,  6.5,  8.0});
    } else {
      lay_out(std::array{-6.0, -3.0, -1.5, -0.5, 0.5, 1.5, 3.0, 6.0});
    }
    std::sort(s.x.begin(), s.x.end());
  });
  if (size() <= 16 || 4 * wanted >= s.x.size()) {
    std::call_once(s.scored, [&] {
      s.slope.resize(s.x.size());
      s.score.resize(s.x.size());
      kernels<MarginalKernels>().survey(line_mixture(), s.x.data(), s.score.data(), s.slope.data(),
                                        s.x.size());
      s.score.resize(std::bit_ceil(s.x.size() + 1) - 1, infinity);
    });
    return {s.x.size(), s.x.data(), s.score.data(), s.slope.data()};
  }
  return {s.x.size(), s.x.data(), nullptr, nullptr};
}

int NormalMixture::invert(bool upper, std::span<const double> u,
                          std::span<double> x) const noexcept {
  const LineMixture law = line_mixture();
  const Landmarks marks = landmarks(u.size());
  const double toward_lower = upper ? -1 : 1;
  std::array<double, block> given, w, side;
  int most = 0;
  for (std::size_t first = 0; first < u.size(); first += block) {
    const std::size_t n = std::min(block, u.size() - first);
    for (std::size_t i = 0; i < n; ++i) {
      given[i] = u[first + i];
      const bool small = given[i] <= 0.5;
      w[i] = small ? given[i] : 1 - given[i];
      w[i] = w[i] > 0 ? w[i] : 0.5;
      side[i] = small ? toward_lower : -toward_lower;
    }
    most = std::max(most, kernels<MarginalKernels>().invert(law, marks, w.data(), side.data(),
                                                            x.data() + first, n));
    for (std::size_t i = 0; i < n; ++i) {
      if (given[i] <= 0) x[first + i] = -toward_lower * infinity;
      if (given[i] >= 1) x[first + i] = toward_lower * infinity;
    }
  }
  return most;
}

void NormalMixture::evaluate(Curve curve, std::span<const double> in,
                             std::span<double> out) const noexcept {
  const LineMixture law = line_mixture();
  const MarginalKernels& k = kernels<MarginalKernels>();
  switch (curve) {
    case Curve::pdf:
      return k.density(law, in.data(), out.data(), in.size());
    case Curve::logpdf:
      return k.log_density(law, in.data(), out.data(), in.size());
    case Curve::cdf:
      return k.lower(law, in.data(), out.data(), in.size());
    case Curve::logcdf:
      return k.log_lower(law, in.data(), out.data(), in.size());
    case Curve::sf:
      return k.upper(law, in.data(), out.data(), in.size());
    case Curve::logsf:
      return k.log_upper(law, in.data(), out.data(), in.size());
    case Curve::ppf:
    case Curve::isf:
      invert(curve == Curve::isf, in, out);
  }
}

Normal::Normal(double mean, double std)
    : mean_(mean), std_(std), law_([&] {
        if (!std::isfinite(mean)) refuse("mean must be finite, got " + std::to_string(mean));
        if (!(std::isfinite(std) && std > 0))
          refuse("std must be positive, got " + std::to_string(std));
        const double one = 1;
        return NormalMixture({&one, 1}, {&mean, 1}, {&std, 1});
      }()) {}

double Normal::cost_ns(Curve curve) const noexcept {
  return curve == Curve::ppf || curve == Curve::isf ? 8 : 6;
}

void Normal::evaluate(Curve curve, std::span<const double> in,
                      std::span<double> out) const noexcept {
  if (curve != Curve::ppf && curve != Curve::isf) return law_.evaluate(curve, in, out);
  numeric::normal_quantile(in, out);
  const double scale = curve == Curve::isf ? -std_ : std_;
  for (double& x : out) x = mean_ + scale * x;
}

Empirical::Empirical(std::span<const double> values, std::span<const double> weights)
    : values_(values.begin(), values.end()) {
  const std::size_t n = values.size();
  require(n > 0, "values must not be empty");
  if (!(weights.empty() || weights.size() == n))
    refuse("weights must have one entry for each of the " + std::to_string(n) + " values, got " +
           std::to_string(weights.size()));
  for (std::size_t i = 0; i < n; ++i) {
    if (!(std::isfinite(values[i])))
      refuse(entry("values", i) + " must be finite, got " + std::to_string(values[i]));
  }
  const bool sorted = std::is_sorted(values_.begin(), values_.end());
  if (weights.empty()) {
    if (!sorted) std::sort(values_.begin(), values_.end());
  } else {
    const double total = checked_total(weights);
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (!sorted) {
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t i, std::size_t j) { return values[i] < values[j]; });
    }
    Sum running;
    values_.clear();
    for (const std::size_t i : order) {
      if (weights[i] / total == 0) continue;
      values_.push_back(values[i]);
      weights_.push_back(weights[i] / total);
      running.add(weights[i]);
      cumulative_.push_back(std::min(running.value() / total, 1.0));
    }
    cumulative_.back() = 1;
  }
  const double equal = 1 / double(values_.size());
  Sum mean, variance;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    mean.add((weights_.empty() ? equal : weights_[i]) * values_[i]);
  }
  mean_ = mean.value();
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const double d = values_[i] - mean_;
    variance.add((weights_.empty() ? equal : weights_[i]) * d * d);
  }
  std_ = std::sqrt(variance.value());
}

double Empirical::below(std::size_t count) const noexcept {
  if (count == 0) return 0;
  return cumulative_.empty() ? double(count) / double(values_.size()) : cumulative_[count - 1];
}

std::size_t Empirical::first_reaching(double u) const noexcept {
  const std::size_t n = values_.size();
  if (!cumulative_.empty()) {
    const auto it = std::lower_bound(cumulative_.begin(), cumulative_.end(), u);
    return std::min(static_cast<std::size_t>(it - cumulative_.begin()), n - 1);
  }
  // The least i with (i + 1) / n >= u as the cdf rounds it.
  std::size_t i = std::min(static_cast<std::size_t>(u * double(n)), n - 1);
  while (i > 0 && double(i) / double(n) >= u) --i;
  while (i + 1 < n && double(i + 1) / double(n) < u) ++i;
  return i;
}

void Empirical::evaluate(Curve curve, std::span<const double> in,
                         std::span<double> out) const noexcept {
  if (curve == Curve::ppf || curve == Curve::isf) {
    // Places first, values after: the cache misses of a block then overlap.
    std::array<std::size_t, block> place;
    for (std::size_t first = 0; first < in.size(); first += block) {
      const std::size_t count = std::min(block, in.size() - first);
      for (std::size_t i = 0; i < count; ++i) {
        const double u = in[first + i];
        place[i] = first_reaching(curve == Curve::ppf ? u : 1 - u);
      }
      for (std::size_t i = 0; i < count; ++i) out[first + i] = values_[place[i]];
    }
    return;
  }
  const std::size_t n = values_.size();
  const auto mass_up_to = [&](double x) noexcept {
    return static_cast<std::size_t>(std::upper_bound(values_.begin(), values_.end(), x) -
                                    values_.begin());
  };
  const auto above = [&](double x) noexcept {
    const std::size_t count = mass_up_to(x);
    return cumulative_.empty() ? double(n - count) / double(n) : 1 - below(count);
  };
  for (std::size_t i = 0; i < in.size(); ++i) {
    switch (curve) {
      case Curve::cdf:
        out[i] = below(mass_up_to(in[i]));
        break;
      case Curve::logcdf:
        out[i] = std::log(below(mass_up_to(in[i])));
        break;
      case Curve::sf:
        out[i] = above(in[i]);
        break;
      case Curve::logsf:
        out[i] = std::log(above(in[i]));
        break;
      default:
        out[i] = std::numeric_limits<double>::quiet_NaN();
    }
  }
}

}  // namespace recouple
