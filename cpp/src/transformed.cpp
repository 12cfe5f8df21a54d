// Laws made of others: shifted and scaled, and cut off.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "recouple/marginal.hpp"

namespace recouple {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

[[noreturn]] void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

Curve mirrored(Curve curve) noexcept {
  switch (curve) {
    case Curve::cdf:
      return Curve::sf;
    case Curve::logcdf:
      return Curve::logsf;
    case Curve::sf:
      return Curve::cdf;
    case Curve::logsf:
      return Curve::logcdf;
    case Curve::ppf:
      return Curve::isf;
    case Curve::isf:
      return Curve::ppf;
    default:
      return curve;
  }
}

bool takes_probabilities(Curve curve) noexcept {
  return curve == Curve::ppf || curve == Curve::isf;
}

// Gauss-Legendre on [-1, 1], 8 points.
constexpr std::array<double, 4> gauss_at{0.18343464249564980494, 0.52553240991632898582,
                                         0.79666647741362673959, 0.96028985649753623168};
constexpr std::array<double, 4> gauss_weight{0.36268378337836198297, 0.31370664587788728734,
                                             0.22238103445337447054, 0.10122853629037625915};

// Integrals over tail probabilities w in [a, b] of Q(w) - centre and of its square.
struct Cell {
  double a, b, first, second;
};

// By Gauss's rule on each cell, the law asked once for all of them.
void integrate(const AnyMarginal& law, Curve curve, double centre, std::vector<Cell>& cells) {
  std::vector<double> w;
  w.reserve(8 * cells.size());
  for (const Cell& c : cells) {
    const double half = 0.5 * (c.b - c.a), middle = 0.5 * (c.a + c.b);
    for (const double s : gauss_at) {
      w.push_back(middle - half * s);
      w.push_back(middle + half * s);
    }
  }
  law.evaluate(curve, w, w);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    Cell& c = cells[i];
    c.first = c.second = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      const double d = w[8 * i + j] - centre, weight = 0.5 * (c.b - c.a) * gauss_weight[j / 2];
      c.first += weight * d;
      c.second += weight * d * d;
    }
  }
}

// The same, halved until both halves agree with the whole to 1e-13 of it or to the rounding of Q.
Cell refined(const AnyMarginal& law, Curve curve, double centre, std::vector<Cell> cells) {
  Cell sum{0, 0, 0, 0};
  integrate(law, curve, centre, cells);
  std::size_t budget = 4000;  // bounds what a rough Q can cost
  for (int depth = 0; !cells.empty(); ++depth) {
    std::vector<Cell> halves, open;
    for (const Cell& c : cells) {
      const double m = 0.5 * (c.a + c.b);
      halves.push_back({c.a, m, 0, 0});
      halves.push_back({m, c.b, 0, 0});
    }
    integrate(law, curve, centre, halves);
    budget -= std::min(budget, halves.size());
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const Cell &whole = cells[i], &l = halves[2 * i], &r = halves[2 * i + 1];
      const double first = l.first + r.first, second = l.second + r.second;
      const double width = whole.b - whole.a, noise = 1e-15 * std::abs(centre) * width;
      const bool same =
          std::abs(first - whole.first) <= 1e-13 * std::sqrt(second * width) + noise &&
          std::abs(second - whole.second) <= 1e-13 * second + noise * std::sqrt(second / width);
      if (same || depth == 44 || budget == 0 || !std::isfinite(second)) {
        sum.first += first;
        sum.second += second;
      } else {
        open.push_back(l);
        open.push_back(r);
      }
    }
    std::swap(cells, open);
  }
  return sum;
}

}  // namespace

std::pair<double, double> moments(const AnyMarginal& law) {
  double centre = 0;
  const double half = 0.5;
  law.ppf({&half, 1}, {&centre, 1});
  double first = 0, second = 0;
  for (const Curve curve : {Curve::ppf, Curve::isf}) {
    bool settled = false;
    for (int octave = 1; octave < 1000 && !settled; octave += 60) {
      std::vector<Cell> cells;
      for (int k = octave; k < octave + 60; ++k) {
        cells.push_back({std::ldexp(1.0, -k - 1), std::ldexp(1.0, -k), 0, 0});
      }
      const Cell part = refined(law, curve, centre, cells);
      if (const auto error = law.error()) std::rethrow_exception(error);
      first += part.first;
      second += part.second;
      // What is left beyond w = 2^-k, if Q grows no faster than in the last octave.
      const double w = std::ldexp(1.0, -octave - 60);
      double q = 0;
      law.evaluate(curve, {&w, 1}, {&q, 1});
      settled = w * (q - centre) * (q - centre) <= 1e-16 * second;
    }
    if (!settled) second = infinity;
  }
  return {centre + first, std::sqrt(std::max(second - first * first, 0.0))};
}

Affine::Affine(AnyMarginal law, double shift, double scale)
    : law_(std::move(law)), shift_(shift), scale_(scale) {
  if (!(std::isfinite(shift))) refuse("shift must be finite, got " + std::to_string(shift));
  if (!(std::isfinite(scale) && scale != 0))
    refuse("scale must be finite and not zero, got " + std::to_string(scale));
}

double Affine::std() const noexcept {
  return std::abs(scale_) * law_.std();
}

Support Affine::support() const noexcept {
  const Support s = law_.support();
  const double a = shift_ + scale_ * s.lower, b = shift_ + scale_ * s.upper;
  return {std::min(a, b), std::max(a, b)};
}

void Affine::evaluate(Curve curve, std::span<const double> in,
                      std::span<double> out) const noexcept {
  const Curve own = scale_ > 0 ? curve : mirrored(curve);
  if (takes_probabilities(curve)) {
    law_.evaluate(own, in, out);
    for (double& x : out) x = shift_ + scale_ * x;
    return;
  }
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = (in[i] - shift_) / scale_;
  law_.evaluate(own, out, out);
  const double size = std::abs(scale_), log_size = std::log(size);
  if (curve == Curve::pdf) {
    for (double& y : out) y /= size;
  } else if (curve == Curve::logpdf) {
    for (double& y : out) y -= log_size;
  }
}

Truncated::Truncated(AnyMarginal law, double lower, double upper) : law_(std::move(law)) {
  if (!(lower < upper))
    refuse("lower must be less than upper, got " + std::to_string(lower) + " and " +
           std::to_string(upper));
  const Support s = law_.support();
  lower_ = std::max(lower, s.lower);
  upper_ = std::min(upper, s.upper);
  const std::array<double, 2> ends{lower_, upper_};
  std::array<double, 2> cdf{0, 1}, sf{1, 0};
  if (lower_ < upper_) {
    law_.cdf(ends, cdf);
    law_.sf(ends, sf);
    if (const auto error = law_.error()) std::rethrow_exception(error);
  } else {
    cdf[1] = 0;
  }
  below_lower_ = cdf[0], above_lower_ = sf[0], below_upper_ = cdf[1], above_upper_ = sf[1];
  if (below_lower_ > 0.5) {
    mass_ = above_lower_ - above_upper_;
  } else if (below_upper_ <= 0.5) {
    mass_ = below_upper_ - below_lower_;
  } else {
    mass_ = 1 - below_lower_ - above_upper_;
  }
  if (!(mass_ > 0))
    refuse("law must have mass between lower = " + std::to_string(lower) +
           " and upper = " + std::to_string(upper) + ", it has none");
  std::tie(mean_, std_) = moments(*this);
}

void Truncated::evaluate(Curve curve, std::span<const double> in,
                         std::span<double> out) const noexcept {
  const std::size_t n = in.size();
  std::vector<double> low(n), high(n);
  if (takes_probabilities(curve)) {
    std::vector<double> p(n), q(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double u = curve == Curve::ppf ? in[i] : 1 - in[i];
      const double v = curve == Curve::ppf ? 1 - in[i] : in[i];
      p[i] = std::min(below_lower_ + u * mass_, 1.0);
      q[i] = std::min(above_upper_ + v * mass_, 1.0);
    }
    law_.ppf(p, low);
    law_.isf(q, high);
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = std::clamp(p[i] <= 0.5 ? low[i] : high[i], lower_, upper_);
    }
    return;
  }
  if (curve == Curve::pdf || curve == Curve::logpdf) {
    const bool logarithm = curve == Curve::logpdf;
    law_.evaluate(curve, in, low);
    for (std::size_t i = 0; i < n; ++i) {
      const bool inside = in[i] >= lower_ && in[i] <= upper_;
      out[i] = logarithm ? (inside ? low[i] - std::log(mass_) : -infinity)
                         : (inside ? low[i] / mass_ : 0.0);
    }
    return;
  }
  law_.cdf(in, low);
  law_.sf(in, high);
  const bool logarithm = curve == Curve::logcdf || curve == Curve::logsf;
  const bool below = curve == Curve::cdf || curve == Curve::logcdf;
  for (std::size_t i = 0; i < n; ++i) {
    const double from_left = below_lower_ > 0.5 ? above_lower_ - high[i] : low[i] - below_lower_;
    const double from_right = below_upper_ <= 0.5 ? below_upper_ - low[i] : high[i] - above_upper_;
    const bool by_left = below_lower_ > 0.5 ? from_left <= 0.5 * mass_ : low[i] <= 0.5;
    double p = by_left ? from_left / mass_ : 1 - from_right / mass_;
    double q = by_left ? 1 - from_left / mass_ : from_right / mass_;
    if (in[i] <= lower_) p = 0, q = 1;
    if (in[i] >= upper_) p = 1, q = 0;
    p = std::clamp(p, 0.0, 1.0), q = std::clamp(q, 0.0, 1.0);
    if (!below) std::swap(p, q);
    out[i] = logarithm ? (p > 0.5 ? std::log1p(-q) : std::log(p)) : p;
  }
}

}  // namespace recouple
