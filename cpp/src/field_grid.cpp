#include "recouple/field_grid.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace recouple {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// A line of values with a stride, so that rows and columns of a matrix look the same.
struct Line {
  const double* first;
  std::size_t stride;
  double operator[](std::size_t i) const noexcept { return first[i * stride]; }
};

// Slope at the first of three points of the parabola through them; h0, h1 their distances and d0,
// d1 the slopes of the chords.
double end_slope(double h0, double h1, double d0, double d1) noexcept {
  return ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1);
}

// Slopes of the cubic spline through the points whose third derivative is continuous at the second
// point from each end (not-a-knot): a tridiagonal system for the slopes.
void spline_slopes(std::span<const double> x, Line y, std::span<double> s) {
  const std::size_t n = x.size();
  std::vector<double> h(n - 1), d(n - 1);
  for (std::size_t i = 0; i + 1 < n; ++i) h[i] = x[i + 1] - x[i], d[i] = (y[i + 1] - y[i]) / h[i];
  if (n == 2) {
    s[0] = s[1] = d[0];
    return;
  }
  if (n == 3) {
    s[0] = end_slope(h[0], h[1], d[0], d[1]);
    s[1] = (h[1] * d[0] + h[0] * d[1]) / (h[0] + h[1]);
    s[2] = end_slope(h[1], h[0], d[1], d[0]);
    return;
  }
  std::vector<double> diagonal(n), upper(n), lower(n), right(n);
  diagonal[0] = h[1];
  upper[0] = h[0] + h[1];
  right[0] = ((h[0] + 2 * upper[0]) * h[1] * d[0] + h[0] * h[0] * d[1]) / upper[0];
  for (std::size_t i = 1; i + 1 < n; ++i) {
    lower[i] = h[i];
    diagonal[i] = 2 * (h[i - 1] + h[i]);
    upper[i] = h[i - 1];
    right[i] = 3 * (h[i] * d[i - 1] + h[i - 1] * d[i]);
  }
  const double a = h[n - 3], b = h[n - 2];
  lower[n - 1] = a + b;
  diagonal[n - 1] = a;
  right[n - 1] = (b * b * d[n - 3] + (2 * (a + b) + b) * a * d[n - 2]) / (a + b);
  for (std::size_t i = 1; i < n; ++i) {
    const double factor = lower[i] / diagonal[i - 1];
    diagonal[i] -= factor * upper[i - 1];
    right[i] -= factor * right[i - 1];
  }
  s[n - 1] = right[n - 1] / diagonal[n - 1];
  for (std::size_t i = n - 1; i-- > 0;) s[i] = (right[i] - upper[i] * s[i + 1]) / diagonal[i];
}

// Slopes that keep each piece monotone: zero at extrema, elsewhere the weighted harmonic mean of
// the chords' slopes (Fritsch & Butland 1984).
void monotone_slopes(std::span<const double> x, Line y, std::span<double> s) {
  const std::size_t n = x.size();
  const auto h = [&](std::size_t i) { return x[i + 1] - x[i]; };
  const auto d = [&](std::size_t i) { return (y[i + 1] - y[i]) / h(i); };
  if (n == 2) {
    s[0] = s[1] = d(0);
    return;
  }
  const auto at_end = [](double h0, double h1, double d0, double d1) {
    const double slope = end_slope(h0, h1, d0, d1);
    if (slope * d0 <= 0) return 0.0;
    return d0 * d1 < 0 && std::abs(slope) > 3 * std::abs(d0) ? 3 * d0 : slope;
  };
  s[0] = at_end(h(0), h(1), d(0), d(1));
  s[n - 1] = at_end(h(n - 2), h(n - 3), d(n - 2), d(n - 3));
  for (std::size_t i = 1; i + 1 < n; ++i) {
    const double before = d(i - 1), after = d(i);
    const double w0 = 2 * h(i) + h(i - 1), w1 = h(i) + 2 * h(i - 1);
    s[i] = before * after > 0 ? (w0 + w1) / (w0 / before + w1 / after) : 0;
  }
}

}  // namespace

GridField::Axis::Axis(std::span<const double> given, const char* name)
    : points(given.begin(), given.end()), inverse_spacing(0) {
  const std::string label(name);
  require(points.size() >= 2,
          label + " must have at least 2 points, got " + std::to_string(points.size()));
  for (std::size_t i = 0; i < points.size(); ++i) {
    require(std::isfinite(points[i]), label + " must be finite at " + std::to_string(i));
    require(i == 0 || points[i] > points[i - 1],
            label + " must increase, it does not at index " + std::to_string(i));
  }
  const double h = (points.back() - points.front()) / double(points.size() - 1);
  bool even = true;
  for (std::size_t i = 0; i < points.size(); ++i) {
    even = even && std::abs(points[i] - (points.front() + double(i) * h)) <= 1e-9 * h;
  }
  if (even) inverse_spacing = 1 / h;
}

std::size_t GridField::Axis::cell(double at) const noexcept {
  const std::size_t last = points.size() - 2;
  if (!(at > points.front())) return 0;
  if (at >= points.back()) return last;
  if (inverse_spacing > 0) {
    return std::min(static_cast<std::size_t>((at - points.front()) * inverse_spacing), last);
  }
  const auto above = std::upper_bound(points.begin(), points.end(), at);
  return std::min(static_cast<std::size_t>(above - points.begin()) - 1, last);
}

GridField::GridField(std::span<const double> t, std::span<const double> x,
                     std::span<const double> v, bool monotone, Extrapolation extrapolation)
    : t_(t, "t"), x_(x, "x"), linear_(extrapolation == Extrapolation::linear) {
  const std::size_t nt = t.size(), nx = x.size();
  require(v.size() == nt * nx, "v must have shape (len(t), len(x))");
  for (std::size_t i = 0; i < v.size(); ++i) {
    require(std::isfinite(v[i]), "v must be finite, it is not at [" + std::to_string(i / nx) +
                                     ", " + std::to_string(i % nx) + "]");
  }
  nodes_.resize(nt * nx);
  std::vector<double> slopes(nt * nx), line(std::max(nt, nx));
  for (std::size_t i = 0; i < nt; ++i) {
    const std::span row = std::span(slopes).subspan(i * nx, nx);
    (monotone ? monotone_slopes : spline_slopes)(x, {&v[i * nx], 1}, row);
    for (std::size_t j = 0; j < nx; ++j) nodes_[i * nx + j] = {v[i * nx + j], row[j], 0, 0};
  }
  const std::span in_time = std::span(line).first(nt);
  for (std::size_t j = 0; j < nx; ++j) {
    spline_slopes(t, {&v[j], nx}, in_time);
    for (std::size_t i = 0; i < nt; ++i) nodes_[i * nx + j].v_t = in_time[i];
    spline_slopes(t, {&slopes[j], nx}, in_time);
    for (std::size_t i = 0; i < nt; ++i) nodes_[i * nx + j].v_xt = in_time[i];
  }
}

GridField::TimeWeights GridField::at_time(double t) const noexcept {
  const std::size_t row = t_.cell(t);
  const double h = t_.points[row + 1] - t_.points[row];
  const double s = (t - t_.points[row]) / h;
  if (s < 0) return {row, 1, linear_ ? s * h : 0, 0, 0};
  if (s > 1) return {row, 0, 0, 1, linear_ ? (s - 1) * h : 0};
  const double r = 1 - s;
  return {row, r * r * (1 + 2 * s), h * s * r * r, s * s * (1 + 2 * r), -h * s * s * r};
}

void GridField::at_point(const TimeWeights& time, double x, double& v,
                         double& slope) const noexcept {
  const std::size_t cell = x_.cell(x), nx = x_.points.size();
  const Node* lower = &nodes_[time.row * nx + cell];
  const Node* upper = lower + nx;
  const auto blend = [&](std::size_t j) {
    struct {
      double v, slope;
    } node{time.value0 * lower[j].v + time.slope0 * lower[j].v_t + time.value1 * upper[j].v +
               time.slope1 * upper[j].v_t,
           time.value0 * lower[j].v_x + time.slope0 * lower[j].v_xt + time.value1 * upper[j].v_x +
               time.slope1 * upper[j].v_xt};
    return node;
  };
  const auto left = blend(0), right = blend(1);
  const double h = x_.points[cell + 1] - x_.points[cell];
  const double s = (x - x_.points[cell]) / h;
  if (s < 0 || s > 1) {
    const auto& edge = s < 0 ? left : right;
    slope = linear_ ? edge.slope : 0;
    v = edge.v + slope * h * (s < 0 ? s : s - 1);
    return;
  }
  const double r = 1 - s, chord = (right.v - left.v) / h;
  v = r * r * (1 + 2 * s) * left.v + s * s * (1 + 2 * r) * right.v +
      h * s * r * (r * left.slope - s * right.slope);
  slope = 6 * s * r * chord + r * (r - 2 * s) * left.slope + s * (s - 2 * r) * right.slope;
}

void GridField::operator()(double t, std::span<const double> x,
                           std::span<double> v) const noexcept {
  const TimeWeights time = at_time(t);
  double slope;
  for (std::size_t i = 0; i < x.size(); ++i) at_point(time, x[i], v[i], slope);
}

void GridField::operator()(std::span<const double> t, std::span<const double> x,
                           std::span<double> v) const noexcept {
  double slope;
  for (std::size_t i = 0; i < x.size(); ++i) at_point(at_time(t[i]), x[i], v[i], slope);
}

void GridField::divergence(double t, std::span<const double> x, std::span<double> v,
                           std::span<double> div) const noexcept {
  const TimeWeights time = at_time(t);
  for (std::size_t i = 0; i < x.size(); ++i) at_point(time, x[i], v[i], div[i]);
}

void GridField::jacobian(double t, std::span<const double> x,
                         std::span<double> jac) const noexcept {
  const TimeWeights time = at_time(t);
  double v;
  for (std::size_t i = 0; i < x.size(); ++i) at_point(time, x[i], v, jac[i]);
}

}  // namespace recouple
