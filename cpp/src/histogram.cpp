#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "recouple/marginal.hpp"

namespace recouple {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

void require(bool condition, const char* message) {
  if (!condition) refuse(message);
}

std::string entry(const char* name, std::size_t i) {
  return std::string(name) + "[" + std::to_string(i) + "]";
}

}  // namespace

Histogram::Histogram(std::span<const double> edges, std::span<const double> mass)
    : edges_(edges.begin(), edges.end()), mass_(mass.begin(), mass.end()) {
  const std::size_t n = mass.size();
  require(n > 0, "mass must not be empty");
  if (!(edges.size() == n + 1))
    refuse("edges must have one entry more than mass, got " + std::to_string(edges.size()) +
           " for " + std::to_string(n));
  double total = 0;
  for (std::size_t i = 0; i <= n; ++i) {
    if (!(std::isfinite(edges[i]))) refuse(entry("edges", i) + " must be finite");
    if (!(i == 0 || edges[i] >= edges[i - 1]))
      refuse("edges must increase, got " + entry("edges", i) + " = " + std::to_string(edges[i]) +
             " after " + std::to_string(edges[i == 0 ? 0 : i - 1]));
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (!(std::isfinite(mass[i]) && mass[i] >= 0))
      refuse(entry("mass", i) + " must be finite and not negative, got " + std::to_string(mass[i]));
    total += mass[i];
  }
  require(std::isfinite(total) && total > 0, "mass must have a positive, finite sum");
  if (std::abs(total - 1) > 1e-14) {  // normalised before: unchanged, bit for bit
    for (double& m : mass_) m /= total;
  }
  below_.assign(n + 1, 0.0);
  above_.assign(n + 1, 0.0);
  for (std::size_t i = 0; i < n; ++i) below_[i + 1] = below_[i] + mass_[i];
  for (std::size_t i = n; i-- > 0;) above_[i] = above_[i + 1] + mass_[i];
  for (std::size_t i = 0; i <= n; ++i) {  // each edge's two masses sum to 1: the smaller is exact
    if (below_[i] <= 0.5)
      above_[i] = 1 - below_[i];
    else
      below_[i] = 1 - above_[i];
  }
  std::size_t first = 0, last = n;
  while (mass_[first] == 0) ++first;
  while (mass_[last - 1] == 0) --last;
  lower_ = edges_[first], upper_ = edges_[last];
  mean_ = 0;
  for (std::size_t i = 0; i < n; ++i) mean_ += mass_[i] * 0.5 * (edges_[i] + edges_[i + 1]);
  double variance = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double d = 0.5 * (edges_[i] + edges_[i + 1]) - mean_, h = edges_[i + 1] - edges_[i];
    variance += mass_[i] * (d * d + h * h / 12);
  }
  std_ = std::sqrt(variance);
}

double Histogram::quantile(double p, double q) const noexcept {
  const std::size_t n = mass_.size();
  if (p <= 0) return lower_;
  if (q <= 0) return upper_;
  // The bin with below <= p <= below of the next edge, the leftmost; in the upper half by q.
  const auto right = p <= 0.5 ? std::lower_bound(below_.begin(), below_.end(), p) - below_.begin()
                              : std::partition_point(above_.begin(), above_.end(), [q](double a) {
                                  return a > q;
                                }) - above_.begin();
  const std::size_t edge = std::clamp<std::size_t>(static_cast<std::size_t>(right), 1, n);
  const std::size_t bin = edge - 1;
  const double width = edges_[edge] - edges_[bin];
  const double into = p <= 0.5 ? p - below_[bin] : above_[bin] - q;
  const double share = mass_[bin] > 0 ? into / mass_[bin] : 1.0;
  return edges_[bin] + std::clamp(share, 0.0, 1.0) * width;
}

void Histogram::evaluate(Curve curve, std::span<const double> in,
                         std::span<double> out) const noexcept {
  const std::size_t n = mass_.size();
  for (std::size_t i = 0; i < in.size(); ++i) {
    const double x = in[i];
    if (curve == Curve::ppf) {
      out[i] = quantile(x, 1 - x);
      continue;
    }
    if (curve == Curve::isf) {
      out[i] = quantile(1 - x, x);
      continue;
    }
    const auto right = static_cast<std::size_t>(std::upper_bound(edges_.begin(), edges_.end(), x) -
                                                edges_.begin());
    const bool left_of_all = right == 0, right_of_all = right > n;
    double density = 0, below = left_of_all ? 0.0 : 1.0, above = 1 - below;
    if (!left_of_all && !right_of_all) {
      const double width = edges_[right] - edges_[right - 1];
      const double part = (x - edges_[right - 1]) / width;
      density = mass_[right - 1] / width;
      below = below_[right - 1] + part * mass_[right - 1];
      above = above_[right] + (edges_[right] - x) / width * mass_[right - 1];
    } else if (x == edges_[n]) {
      density = mass_[n - 1] / (edges_[n] - edges_[n - 1]);
    }
    switch (curve) {
      case Curve::pdf:
        out[i] = density;
        break;
      case Curve::logpdf:
        out[i] = std::log(density);
        break;
      case Curve::cdf:
        out[i] = below;
        break;
      case Curve::logcdf:
        out[i] = above < 0.5 ? std::log1p(-above) : std::log(below);
        break;
      case Curve::sf:
        out[i] = above;
        break;
      default:
        out[i] = below < 0.5 ? std::log1p(-below) : std::log(above);
    }
  }
}

}  // namespace recouple
