// Fields made from other fields by a change of time and scale.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "recouple/field.hpp"

namespace recouple {

// The field of the path x'(t) = scale(t) x(time(t)), x a path of `field`:
//   v'(t, y) = (scale' / scale) y + scale time' v(time, y / scale).
// `Change` gives {time, scale, time', scale'} at t.
struct Changed {
  double time, scale, time_rate, scale_rate;
};

template <class Change>
class ChangedField {
 public:
  ChangedField(AnyField field, Change change)
      : field_(std::move(field)), change_(std::move(change)) {}

  std::size_t dim() const noexcept { return field_.dim(); }
  bool foreign() const noexcept { return field_.foreign(); }
  bool failed() const noexcept { return field_.failed(); }
  bool differentiable() const noexcept { return field_.differentiable(); }
  double cost_ns() const noexcept { return field_.cost_ns() + 2; }

  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept {
    const Changed c = change_(t);
    field_(c.time, shrunk(c.scale, x), v);
    finish(c, x, v);
  }
  void operator()(std::span<const double> t, std::span<const double> x,
                  std::span<double> v) const noexcept {
    const std::size_t d = dim();
    std::vector<double> times(t.size()), points(x.size());
    std::vector<Changed> changes(t.size());
    for (std::size_t i = 0; i < t.size(); ++i) {
      changes[i] = change_(t[i]);
      times[i] = changes[i].time;
      for (std::size_t k = 0; k < d; ++k) points[i * d + k] = x[i * d + k] / changes[i].scale;
    }
    field_(std::span<const double>(times), points, v);
    for (std::size_t i = 0; i < t.size(); ++i) {
      finish(changes[i], x.subspan(i * d, d), v.subspan(i * d, d));
    }
  }
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept {
    const Changed c = change_(t);
    field_.divergence(c.time, shrunk(c.scale, x), v, div);
    finish(c, x, v);
    for (double& value : div) {
      value = double(dim()) * c.scale_rate / c.scale + c.time_rate * value;
    }
  }
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept {
    const Changed c = change_(t);
    field_.jacobian(c.time, shrunk(c.scale, x), jac);
    const std::size_t d = dim();
    for (std::size_t i = 0; i < jac.size(); ++i) {
      const bool diagonal = i % (d * d) / d == i % d;
      jac[i] = c.time_rate * jac[i] + (diagonal ? c.scale_rate / c.scale : 0);
    }
  }

 private:
  static std::vector<double> shrunk(double scale, std::span<const double> x) {
    std::vector<double> result(x.begin(), x.end());
    if (scale != 1) {
      for (double& value : result) value /= scale;
    }
    return result;
  }
  static void finish(const Changed& c, std::span<const double> x, std::span<double> v) noexcept {
    for (std::size_t i = 0; i < v.size(); ++i) {
      v[i] = c.scale * c.time_rate * v[i];
      if (c.scale_rate != 0) v[i] += c.scale_rate / c.scale * x[i];
    }
  }

  AnyField field_;
  Change change_;
};

// The same paths run backwards: -v(1 - t, x).
AnyField reversed_time(AnyField field);

// The field that the plan behind `field`, a field of the interpolant `from`, has under `to`.
AnyField change_interpolant(AnyField field, Interpolant from, Interpolant to);

}  // namespace recouple
