#include "recouple/interpolant.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace recouple {

const Interpolant Interpolant::linear{Kind::linear};
const Interpolant Interpolant::trigonometric{Kind::trigonometric};
const Interpolant Interpolant::cosine{Kind::cosine};

Interpolant Interpolant::tabulated(std::string name, std::span<const double> series,
                                   std::size_t pieces) {
  if (pieces == 0 || series.empty() || series.size() % (4 * pieces) != 0) {
    throw std::invalid_argument("series must have shape (4, pieces, degree + 1)");
  }
  for (const double c : series) {
    if (!std::isfinite(c)) throw std::invalid_argument("series must be finite");
  }
  Interpolant result(Kind::tabulated);
  result.table_ =
      std::make_shared<const Table>(Table{std::move(name), {series.begin(), series.end()}, pieces});
  return result;
}

Coefficients Interpolant::operator()(double t) const noexcept {
  constexpr double pi = std::numbers::pi;
  switch (kind_) {
    case Kind::linear:
      return {1 - t, t, -1, 1};
    case Kind::trigonometric: {
      // The smaller of the two by a sine of its own, so that both are exact at the ends.
      const double near0 = pi / 2 * t, near1 = pi / 2 * (1 - t);
      const double a = t < 0.5 ? std::cos(near0) : std::sin(near1);
      const double b = t < 0.5 ? std::sin(near0) : std::cos(near1);
      return {a, b, -pi / 2 * b, pi / 2 * a};
    }
    case Kind::cosine: {
      const double s = std::sin(pi / 2 * t), c = std::sin(pi / 2 * (1 - t));
      const double rate = pi * s * c;
      return {c * c, s * s, -rate, rate};
    }
    case Kind::tabulated:
      break;
  }
  const std::size_t pieces = table_->pieces, terms = table_->series.size() / (4 * pieces);
  const double scaled = t * double(pieces);
  const std::size_t piece =
      scaled > 0 ? std::min(static_cast<std::size_t>(std::min(scaled, 1e9)), pieces - 1) : 0;
  const double z = 2 * (scaled - double(piece)) - 1;
  double value[4];
  for (std::size_t f = 0; f < 4; ++f) {
    const double* c = &table_->series[(f * pieces + piece) * terms];
    double next = 0, after = 0;  // Clenshaw's recurrence
    for (std::size_t k = terms; k-- > 1;) {
      const double sum = c[k] + 2 * z * next - after;
      after = next;
      next = sum;
    }
    value[f] = c[0] + z * next - after;
  }
  return {value[0], value[1], value[2], value[3]};
}

std::string_view Interpolant::name() const noexcept {
  switch (kind_) {
    case Kind::trigonometric:
      return "trigonometric";
    case Kind::cosine:
      return "cosine";
    case Kind::tabulated:
      return table_->name;
    default:
      return "linear";
  }
}

double Interpolant::time_of(const Coefficients& ratio) const noexcept {
  constexpr double pi = std::numbers::pi;
  const double a = ratio.a, b = ratio.b;
  switch (kind_) {
    case Kind::linear:
      return b / (a + b);
    case Kind::trigonometric:
      return 2 / pi * std::atan2(b, a);
    case Kind::cosine:
      return 2 / pi * std::atan2(std::sqrt(std::max(b, 0.0)), std::sqrt(std::max(a, 0.0)));
    case Kind::tabulated:
      break;
  }
  double low = 0, high = 1, t = 0.5;
  for (int iteration = 0; iteration < 100 && high - low > 1e-16; ++iteration) {
    const Coefficients c = (*this)(t);
    const double f = a * c.b - b * c.a;
    (f < 0 ? low : high) = t;
    const double next = t - f / (a * c.db - b * c.da);
    if (std::abs(next - t) <= 1e-16) return t;
    t = next > low && next < high ? next : 0.5 * (low + high);
  }
  return t;
}

std::span<const double> Interpolant::series() const noexcept {
  return table_ ? std::span<const double>(table_->series) : std::span<const double>();
}

bool Interpolant::operator==(const Interpolant& other) const noexcept {
  if (kind_ != other.kind_) return false;
  if (table_ == other.table_) return true;
  return table_->pieces == other.table_->pieces && table_->series == other.table_->series;
}

}  // namespace recouple
