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

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
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

struct Pair {
  double first, second;
};

// Integrals of Q(w) - centre and of its square over tail probabilities w in [a, b].
class QuantileIntegral {
 public:
  QuantileIntegral(const AnyMarginal& law, bool upper, double centre)
      : law_(law), curve_(upper ? Curve::isf : Curve::ppf), centre_(centre) {}

  Pair over(double a, double b, int depth) {
    const Pair whole = rule(a, b);
    return refine(a, b, whole, depth);
  }

 private:
  Pair refine(double a, double b, Pair whole, int depth) {
    const double m = 0.5 * (a + b);
    const Pair left = rule(a, m), right = rule(m, b);
    const double first = left.first + right.first, second = left.second + right.second;
    // Good to 1e-13 of the cell's own size, or to the rounding of Q; a jump of Q is halved down to
    // nothing on one side only, and the budget bounds what a rough Q can cost.
    const double noise = 1e-15 * std::abs(centre_) * (b - a);
    const bool same =
        std::abs(first - whole.first) <= 1e-13 * std::sqrt(second * (b - a)) + noise &&
        std::abs(second - whole.second) <= 1e-13 * second + noise * std::sqrt(second / (b - a));
    if (same || depth == 0 || --budget_ < 0 || !std::isfinite(second)) return {first, second};
    const Pair l = refine(a, m, left, depth - 1), r = refine(m, b, right, depth - 1);
    return {l.first + r.first, l.second + r.second};
  }
  Pair rule(double a, double b) const {
    std::array<double, 8> w, x;
    const double half = 0.5 * (b - a), middle = 0.5 * (a + b);
    for (std::size_t j = 0; j < 4; ++j) {
      w[2 * j] = middle - half * gauss_at[j];
      w[2 * j + 1] = middle + half * gauss_at[j];
    }
    law_.evaluate(curve_, w, x);
    Pair sum{0, 0};
    for (std::size_t j = 0; j < 8; ++j) {
      const double d = x[j] - centre_;
      sum.first += gauss_weight[j / 2] * half * d;
      sum.second += gauss_weight[j / 2] * half * d * d;
    }
    return sum;
  }
  const AnyMarginal& law_;
  Curve curve_;
  double centre_;
  int budget_ = 20000;
};

}  // namespace

std::pair<double, double> moments(const AnyMarginal& law) {
  double centre = 0;
  const double half = 0.5;
  law.ppf({&half, 1}, {&centre, 1});
  double first = 0, second = 0;
  for (const bool upper : {false, true}) {
    QuantileIntegral integral(law, upper, centre);
    bool settled = false;
    for (int k = 1; k < 1000 && !settled; ++k) {
      const Pair part = integral.over(std::ldexp(1.0, -k - 1), std::ldexp(1.0, -k), 40);
      first += part.first;
      second += part.second;
      settled = k > 8 && part.second <= 1e-18 * second &&
                std::abs(part.first) <= 1e-18 * std::sqrt(second);
    }
    if (!settled) second = infinity;
  }
  if (const auto error = law.error()) std::rethrow_exception(error);
  return {centre + first, std::sqrt(std::max(second - first * first, 0.0))};
}

Affine::Affine(AnyMarginal law, double shift, double scale)
    : law_(std::move(law)), shift_(shift), scale_(scale) {
  require(std::isfinite(shift), "shift must be finite, got " + std::to_string(shift));
  require(std::isfinite(scale) && scale != 0,
          "scale must be finite and not zero, got " + std::to_string(scale));
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
  require(lower < upper, "lower must be less than upper, got " + std::to_string(lower) + " and " +
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
  require(mass_ > 0, "law must have mass between lower = " + std::to_string(lower) +
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
