#include "recouple/inverse.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "inverse_shared.hpp"
#include "kernels/inverse.hpp"
#include "recouple/cholesky.hpp"

namespace recouple {
namespace {

// The degree + 1 B-splines that are not zero on a knot interval, at the fraction f of it, by the
// recursion of de Boor (1972) for unit spacing.
void cardinal_splines(int degree, double f, double* value) noexcept {
  value[0] = 1;
  for (int d = 1; d <= degree; ++d) {
    double saved = 0;
    for (int r = 0; r < d; ++r) {
      const double share = value[r] / d;
      value[r] = saved + (r + 1 - f) * share;
      saved = (f + d - 1 - r) * share;
    }
    value[d] = saved;
  }
}

struct Place {
  std::size_t interval;
  double fraction;
};

// Where x lies among the knots; x is clamped to their range.
Place locate(const SplineFeatures& s, double x) noexcept {
  const double u = std::clamp((x - s.first) / s.spacing, 0.0, double(s.intervals));
  const std::size_t interval = std::min(static_cast<std::size_t>(u), s.intervals - 1);
  return {interval, u - double(interval)};
}

struct Rule {
  std::array<double, 8> node{}, weight{};
};

// Gauss-Legendre rule on [0, 1], by Newton's method on the Legendre polynomial.
Rule gauss_legendre(int n) {
  Rule rule;
  for (int i = 0; i < n; ++i) {
    double z = std::cos(std::acos(-1.0) * (i + 0.75) / (n + 0.5)), slope = 1;
    for (int iteration = 0; iteration < 50; ++iteration) {
      double p = 1, previous = 0;
      for (int k = 1; k <= n; ++k) {
        const double next = ((2 * k - 1) * z * p - (k - 1) * previous) / k;
        previous = p;
        p = next;
      }
      slope = n * (z * p - previous) / (z * z - 1);
      const double step = p / slope;
      z -= step;
      if (std::abs(step) < 1e-15) break;
    }
    const auto at = static_cast<std::size_t>(i);
    rule.node[at] = 0.5 * (1 - z);
    rule.weight[at] = 1 / ((1 - z * z) * slope * slope);
  }
  return rule;
}

void require_nodes(int nodes) {
  if (nodes < 1 || nodes > 8) {
    throw std::invalid_argument("nodes must be between 1 and 8, got " + std::to_string(nodes));
  }
}

void require_finite(std::span<const double> values, const char* name) {
  if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) {
    throw std::invalid_argument(std::string(name) + " must be finite");
  }
}

void require_features(const SplineFeatures& s, int degree) {
  if (degree < 1 || degree >= int(feature_width)) {
    throw std::invalid_argument("degree must be between 1 and 7, got " + std::to_string(degree));
  }
  require(std::isfinite(s.a) && std::isfinite(s.b) && std::isfinite(s.first) &&
              std::isfinite(s.spacing) && s.spacing > 0 && s.intervals > 0,
          "features must have finite coefficients, a positive spacing and knot intervals");
}

}  // namespace

std::vector<double> moment_abscissae(const SplineFeatures& s, int nodes) {
  require_nodes(nodes);
  const Rule rule = gauss_legendre(nodes);
  std::vector<double> x;
  for (std::size_t i = 0; i < s.intervals; ++i) {
    for (int q = 0; q < nodes; ++q) {
      x.push_back(s.first + s.spacing * (double(i) + rule.node[static_cast<std::size_t>(q)]));
    }
  }
  return x;
}

std::vector<double> spline_moments_of_cdf(const SplineFeatures& s, int degree, int nodes,
                                          std::span<const double> cdf) {
  require_nodes(nodes);
  require_features(s, degree);
  require_finite(cdf, "cdf");
  require(cdf.size() == s.intervals * std::size_t(nodes), "cdf must have one value per abscissa");
  const Rule rule = gauss_legendre(nodes);
  std::vector<double> g(s.count(degree), 0.0);
  std::array<double, feature_width> b{};
  const auto used = static_cast<std::size_t>(degree) + 1;
  // Boundary term: mass outside the range counts at its nearer end, as it does in the features.
  cardinal_splines(degree, 1, b.data());
  for (std::size_t r = 0; r < used; ++r) g[s.intervals - 1 + r] += b[r];
  // B_m' = (lower[m - 1] - lower[m]) / spacing with the splines of one degree less.
  for (std::size_t i = 0; i < s.intervals; ++i) {
    for (int q = 0; q < nodes; ++q) {
      const auto at = static_cast<std::size_t>(q);
      cardinal_splines(degree - 1, rule.node[at], b.data());
      const double f = rule.weight[at] * cdf[i * std::size_t(nodes) + at];
      for (std::size_t r = 0; r + 1 < used; ++r) {
        g[i + r] += f * b[r];
        g[i + r + 1] -= f * b[r];
      }
    }
  }
  return g;
}

SampleMoments spline_moments_of_samples(const SplineFeatures& s, int degree,
                                        std::span<const double> samples,
                                        std::span<const double> weights) {
  require_features(s, degree);
  require(weights.size() == samples.size(), "weights must have one entry per sample");
  require_finite(samples, "samples");
  require_finite(weights, "weights");
  const std::size_t count = s.count(degree);
  SampleMoments out{std::vector<double>(count, 0.0), std::vector<double>(count, 0.0)};
  std::array<double, feature_width> b{};
  const auto used = static_cast<std::size_t>(degree) + 1;
  double sum_of_squares = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Place place = locate(s, samples[i]);
    cardinal_splines(degree, place.fraction, b.data());
    for (std::size_t r = 0; r < used; ++r) {
      out.mean[place.interval + r] += weights[i] * b[r];
      out.variance[place.interval + r] += weights[i] * b[r] * b[r];
    }
    sum_of_squares += weights[i] * weights[i];
  }
  for (std::size_t m = 0; m < count; ++m) {
    out.variance[m] = std::max(0.0, out.variance[m] - out.mean[m] * out.mean[m]) * sum_of_squares;
  }
  return out;
}

EntropicDual::EntropicDual(std::span<const double> x0, std::span<const double> x1,
                           std::span<const double> reference, std::vector<SplineFeatures> features,
                           int degree)
    : degree_(degree),
      features_(std::move(features)),
      offset_{0},
      reference_(reference.begin(), reference.end()),
      mass_(reference.begin(), reference.end()) {
  require_finite(x0, "x0");
  require_finite(x1, "x1");
  require(!x0.empty() && !x1.empty() && !features_.empty(), "the problem must not be empty");
  require(reference.size() == x0.size() * x1.size(),
          "reference must have shape (len(x0), len(x1))");
  double total = 0;
  for (const double m : reference_) {
    require(std::isfinite(m) && m >= 0, "reference must be finite and not negative");
    total += m;
  }
  require(total > 0, "reference must have mass");
  for (const SplineFeatures& s : features_) {
    require_features(s, degree);
    offset_.push_back(offset_.back() + s.count(degree));
    std::vector<std::int32_t> start(points());
    std::vector<double> value(points() * feature_width, 0.0);
    for (std::size_t i = 0; i < x0.size(); ++i) {
      for (std::size_t j = 0; j < x1.size(); ++j) {
        const std::size_t p = i * x1.size() + j;
        const Place place = locate(s, s.a * x0[i] + s.b * x1[j]);
        start[p] = static_cast<std::int32_t>(place.interval);
        cardinal_splines(degree, place.fraction, &value[p * feature_width]);
      }
    }
    start_.push_back(std::move(start));
    value_.push_back(std::move(value));
  }
  theta_.assign(size(), 0.0);
}

void EntropicDual::set_theta(std::span<const double> theta, int threads) {
  require(theta.size() == size(), "theta must have one entry per feature");
  require_finite(theta, "theta");
  theta_.assign(theta.begin(), theta.end());
  update_mass(theta_, mass_, threads);
}

void EntropicDual::set_common(std::span<const double> rows) {
  require(rows.size() % size() == 0, "common must have one column per feature");
  require_finite(rows, "common");
  common_.assign(rows.begin(), rows.end());
  penalty_.clear();  // the factors are of another penalty
  earlier_.clear();
}

void EntropicDual::add_common(std::span<const double> x, std::span<double> image) const {
  for (std::size_t first = 0; first < common_.size(); first += size()) {
    const auto row = std::span(common_).subspan(first, size());
    const double along = dot(row, x);
    for (std::size_t i = 0; i < size(); ++i) image[i] += along * row[i];
  }
}

void EntropicDual::add_common(std::span<double> hessian, int threads) const {
  const std::size_t n = size();
  const double work = 0.5 * double(n) * double(common_.size());
  parallel_for(n, threads_for(work, threads), [&](std::size_t i) noexcept {
    for (std::size_t first = 0; first < common_.size(); first += n) {
      const double here = common_[first + i];
      for (std::size_t j = 0; j <= i; ++j) hessian[i * n + j] += here * common_[first + j];
    }
  });
}

// The exponent A' theta, a stripe of points at a time, so that it stays in L1 until
// finish(first point, exponent, points) has used it.
template <class Finish>
void EntropicDual::sweep(std::span<const double> theta, int threads, const Finish& finish) const {
  constexpr std::size_t stripe = 1024;
  std::vector<double> padded;
  padded.reserve(size() + features_.size() * feature_width);
  std::vector<std::size_t> first;
  for (std::size_t k = 0; k < features_.size(); ++k) {
    first.push_back(padded.size());
    padded.insert(padded.end(), theta.begin() + std::ptrdiff_t(offset_[k]),
                  theta.begin() + std::ptrdiff_t(offset_[k + 1]));
    padded.insert(padded.end(), feature_width, 0.0);
  }
  const double work = 1.5 * double(points()) * double(features_.size());
  parallel_for(
      (points() + stripe - 1) / stripe, threads_for(work, threads), [&](std::size_t task) noexcept {
        const std::size_t p = task * stripe, n = std::min(stripe, points() - p);
        std::array<double, stripe> exponent{};
        for (std::size_t k = 0; k < features_.size(); ++k) {
          const FeatureView view{&start_[k][p], &value_[k][p * feature_width]};
          kernels<InverseKernels>().add_exponent(view, &padded[first[k]], exponent.data(), n);
        }
        finish(p, exponent.data(), n);
      });
}

void EntropicDual::update_mass(std::span<const double> theta, std::span<double> mass,
                               int threads) const {
  if (!dense_.empty()) return update_dense(theta, mass, threads);
  sweep(theta, threads, [&](std::size_t p, const double* exponent, std::size_t n) noexcept {
    kernels<InverseKernels>().tilt(&reference_[p], exponent, &mass[p], n);
  });
}

// image = (A diag(mass) A' + diag(penalty) + U'U) x, the Hessian at the present mass.
void EntropicDual::multiply(std::span<const double> x, std::span<const double> penalty,
                            std::span<double> image, int threads) const {
  if (!dense_.empty()) {
    dense_multiply(x, image, threads);
  } else {
    std::vector<double> weighted(points());
    sweep(x, threads, [&](std::size_t p, const double* exponent, std::size_t n) noexcept {
      for (std::size_t i = 0; i < n; ++i) weighted[p + i] = mass_[p + i] * exponent[i];
    });
    moments_of(weighted, image, threads);
  }
  for (std::size_t i = 0; i < size(); ++i) image[i] += penalty[i] * x[i];
  add_common(x, image);
}

void EntropicDual::moments_of(std::span<const double> mass, std::span<double> moments,
                              int threads) const {
  if (!dense_.empty()) return dense_moments(mass, moments, threads);
  const double work = 1.5 * double(points()) * double(features_.size());
  std::vector<double> padded(size() + features_.size() * feature_width, 0.0);
  parallel_for(features_.size(), threads_for(work, threads), [&](std::size_t k) noexcept {
    const FeatureView view{start_[k].data(), value_[k].data()};
    double* out = &padded[offset_[k] + k * feature_width];
    kernels<InverseKernels>().add_moments(view, mass.data(), out, points());
    std::copy_n(out, offset_[k + 1] - offset_[k], &moments[offset_[k]]);
  });
}

std::vector<double> EntropicDual::moments(int threads) const {
  std::vector<double> out(size());
  moments_of(mass_, out, threads);
  return out;
}

// A diag(mass) A' + diag(penalty), lower triangle, without the points of less mass than `least`. A
// task is a few times against a few; it takes all their products a tile of points at a time, whose
// features then come from cache.
std::vector<double> EntropicDual::hessian(std::span<const double> mass,
                                          std::span<const double> penalty, double least,
                                          int threads) const {
  if (!dense_.empty()) return dense_hessian(mass, penalty, least, threads);
  std::vector<std::uint32_t> listed;
  for (std::size_t p = 0; p < points(); ++p) {
    if (mass[p] >= least) listed.push_back(static_cast<std::uint32_t>(p));
  }
  constexpr std::size_t few = 4, tile = 256;
  const std::size_t n = size(), times = features_.size(), groups = (times + few - 1) / few;
  const auto used = static_cast<std::size_t>(degree_) + 1;
  std::vector<double> h(n * n, 0.0);
  std::vector<std::array<std::size_t, 2>> pairs;  // task by task
  std::vector<std::size_t> first{0};
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t other = 0; other <= g; ++other) {
      for (std::size_t k = g * few; k < std::min(times, (g + 1) * few); ++k) {
        for (std::size_t l = other * few; l <= std::min(k, other * few + few - 1); ++l) {
          pairs.push_back({k, l});
        }
      }
      first.push_back(pairs.size());
    }
  }
  const auto padded = [&](std::size_t k) { return features_[k].count(degree_) + feature_width; };
  std::vector<std::vector<double>> blocks(pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    blocks[i].resize(padded(pairs[i][0]) * padded(pairs[i][1]));
  }
  const double work = 3 * double(listed.size()) * double(pairs.size());
  parallel_for(first.size() - 1, threads_for(work, threads), [&](std::size_t task) noexcept {
    for (std::size_t from = 0; from < listed.size(); from += tile) {
      const std::size_t count = std::min(tile, listed.size() - from);
      for (std::size_t i = first[task]; i < first[task + 1]; ++i) {
        const auto [k, l] = pairs[i];
        kernels<InverseKernels>().add_products(
            {start_[k].data(), value_[k].data()}, {start_[l].data(), value_[l].data()}, mass.data(),
            &listed[from], count, used, blocks[i].data(), padded(l));
      }
    }
    for (std::size_t i = first[task]; i < first[task + 1]; ++i) {
      const auto [k, l] = pairs[i];
      const std::size_t rows = features_[k].count(degree_), columns = features_[l].count(degree_);
      for (std::size_t r = 0; r < rows; ++r) {
        std::copy_n(&blocks[i][r * padded(l)], columns, &h[(offset_[k] + r) * n + offset_[l]]);
      }
    }
  });
  for (std::size_t i = 0; i < n; ++i) h[i * n + i] += penalty[i];
  return h;
}

std::vector<EntropicDual::Uncertainty> EntropicDual::uncertainty(
    std::span<const double> functionals, std::span<const double> penalty,
    std::span<const double> noise_variance, int threads) const {
  const std::size_t n = size();
  require(penalty.size() == n && noise_variance.size() == n,
          "penalty and noise_variance must have one entry per feature");
  require(functionals.size() % points() == 0, "functionals must have one column per grid point");
  require_finite(functionals, "functionals");
  require_finite(noise_variance, "noise_variance");
  const std::vector<double> h = factor(penalty, threads);
  std::vector<Uncertainty> out;
  std::vector<double> weighted(points()), seen(n);
  double total = 0;
  for (const double m : mass_) total += m;
  for (std::size_t first = 0; first < functionals.size(); first += points()) {
    const auto f = functionals.subspan(first, points());
    double mean = 0, variance = 0;
    for (std::size_t p = 0; p < points(); ++p) mean += mass_[p] * f[p];
    mean /= total;
    for (std::size_t p = 0; p < points(); ++p) {
      weighted[p] = mass_[p] * (f[p] - mean) / total;
      variance += weighted[p] * (f[p] - mean);
    }
    // d E f / d g = H^-1 A (pi (f - E f)): the sensitivity to the data, and the regression of f on
    // the features at this penalty.
    moments_of(weighted, seen, threads);
    std::vector<double> sensitivity = seen;
    cholesky_solve(h, n, sensitivity);
    double noise = 0;
    for (std::size_t i = 0; i < n; ++i) {
      noise += sensitivity[i] * sensitivity[i] * noise_variance[i];
    }
    const double explained = total * dot(seen, sensitivity);
    const double resolved = variance > 0 ? std::clamp(explained / variance, 0.0, 1.0) : 1.0;
    out.push_back({mean, std::sqrt(noise), resolved, variance, std::move(sensitivity)});
  }
  return out;
}

std::vector<double> EntropicDual::responses(std::span<const double> changes,
                                            std::span<const double> penalty, int threads) const {
  const std::size_t n = size();
  require(penalty.size() == n, "penalty must have one entry per feature");
  require(changes.size() % n == 0, "changes must have one column per feature");
  require_finite(changes, "changes");
  const std::vector<double> h = factor(penalty, threads);
  std::vector<double> out(changes.begin(), changes.end());
  const std::size_t rows = changes.size() / n;
  parallel_for(
      rows, threads_for(2 * double(n) * double(n) * double(rows), threads),
      [&](std::size_t row) noexcept { cholesky_solve(h, n, std::span(out).subspan(row * n, n)); });
  return out;
}

std::vector<double> EntropicDual::factor(std::span<const double> penalty, int threads) const {
  for (const double l : penalty) require(l > 0, "penalty must be positive");
  // The points left out add less than a hundredth of the least penalty to any diagonal entry.
  const double least = *std::min_element(penalty.begin(), penalty.end());
  std::vector<double> h = hessian(mass_, penalty, 0.01 * least / double(points()), threads);
  add_common(h, threads);
  require(cholesky(h, size(), threads), "the Hessian must be positive definite");
  return h;
}

}  // namespace recouple
