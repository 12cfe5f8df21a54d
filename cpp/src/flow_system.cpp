#include "flow_system.hpp"

#include <algorithm>
#include <cmath>

namespace recouple {
namespace {

// A coin for coordinate d of point i: the top bit of splitmix64 (Steele, Lea & Flood 2014).
double sign(std::uint64_t seed, std::size_t point, std::size_t d, std::size_t dim) noexcept {
  std::uint64_t z = seed + 0x9e3779b97f4a7c15 * (std::uint64_t(point) * dim + d + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return ((z ^ (z >> 31)) >> 63) != 0 ? 1.0 : -1.0;
}

}  // namespace

System::System(const AnyField& field, const FlowOptions& options, std::size_t capacity)
    : field_(field),
      carried_(options.carried),
      differences_(options.differences),
      dim_(field.dim()),
      width_(carried_width(options.carried, field.dim())) {
  if (carried_ == Carried::nothing) capacity = options.poles.empty() ? 0 : 1;
  if (carried_ == Carried::jacobian || !options.poles.empty()) jac_.resize(capacity * dim_ * dim_);
  if (field.differentiable()) return;
  for (auto* room : {&forward_, &backward_, &at_}) room->resize(capacity * dim_);
}

void System::start(double* carried) const noexcept {
  std::fill_n(carried, width_, 0.0);
  if (carried_ == Carried::jacobian) {
    for (std::size_t d = 0; d < dim_; ++d) carried[d * (dim_ + 1)] = 1;
  }
}

// The field a step to both sides of each point along coordinate d.
template <class Time>
void System::difference(Time t, std::size_t count, const double* x, std::size_t d) noexcept {
  const std::span points(at_.data(), count * dim_);
  std::copy_n(x, count * dim_, at_.begin());
  const auto shift = [&](double by) {
    for (std::size_t i = 0; i < count; ++i) {
      const double from = x[i * dim_ + d];
      at_[i * dim_ + d] = from + by * differences_.step * std::max(1.0, std::abs(from));
    }
  };
  shift(1);
  field_(t, points, std::span(forward_).first(count * dim_));
  shift(-1);
  field_(t, points, std::span(backward_).first(count * dim_));
}

template <class Time>
void System::divergence(Time t, std::size_t count, const double* x, const std::size_t* point,
                        double* div) noexcept {
  std::fill_n(div, count, 0.0);
  if (differences_.hutchinson) {
    // E[e . J e] = tr J for random signs e (Hutchinson 1990).
    const std::span points(at_.data(), count * dim_);
    const auto shift = [&](double by) {
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t d = 0; d < dim_; ++d) {
          at_[i * dim_ + d] =
              x[i * dim_ + d] + by * differences_.step * sign(differences_.seed, point[i], d, dim_);
        }
      }
    };
    shift(1);
    field_(t, points, std::span(forward_).first(count * dim_));
    shift(-1);
    field_(t, points, std::span(backward_).first(count * dim_));
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t d = 0; d < dim_; ++d) {
        const std::size_t k = i * dim_ + d;
        div[i] += sign(differences_.seed, point[i], d, dim_) * (forward_[k] - backward_[k]);
      }
      div[i] /= 2 * differences_.step;
    }
    return;
  }
  for (std::size_t d = 0; d < dim_; ++d) {
    difference(t, count, x, d);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t k = i * dim_ + d;
      div[i] +=
          (forward_[k] - backward_[k]) / (2 * differences_.step * std::max(1.0, std::abs(x[k])));
    }
  }
}

template <class Time>
void System::jacobian(Time t, std::size_t count, const double* x, double* jac) noexcept {
  if (field_.differentiable()) {
    const std::size_t size = dim_ * dim_;
    if constexpr (std::same_as<Time, double>) {
      field_.jacobian(t, std::span(x, count * dim_), std::span(jac, count * size));
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        field_.jacobian(t[i], std::span(x + i * dim_, dim_), std::span(jac + i * size, size));
      }
    }
    return;
  }
  for (std::size_t d = 0; d < dim_; ++d) {
    difference(t, count, x, d);
    for (std::size_t i = 0; i < count; ++i) {
      const double width = 2 * differences_.step * std::max(1.0, std::abs(x[i * dim_ + d]));
      for (std::size_t r = 0; r < dim_; ++r) {
        jac[(i * dim_ + r) * dim_ + d] = (forward_[i * dim_ + r] - backward_[i * dim_ + r]) / width;
      }
    }
  }
}

double System::steepness(double t, const double* x) noexcept {
  jacobian(t, 1, x, jac_.data());
  double sum = 0;
  for (std::size_t i = 0; i < dim_ * dim_; ++i) sum += jac_[i] * jac_[i];
  return std::sqrt(sum);
}

template <class Time>
bool System::rates(Time t, std::size_t count, const double* x, const double* carried,
                   const std::size_t* point, double* v, double* rate) noexcept {
  const std::span points(x, count * dim_);
  const std::span velocities(v, count * dim_);
  if (carried_ == Carried::log_det && field_.differentiable()) {
    field_.divergence(t, points, velocities, std::span(rate, count));
    return !field_.failed();
  }
  field_(t, points, velocities);
  if (carried_ == Carried::log_det) {
    divergence(t, count, x, point, rate);
  } else if (carried_ == Carried::jacobian) {
    jacobian(t, count, x, jac_.data());
    const std::size_t size = dim_ * dim_;
    for (std::size_t i = 0; i < count; ++i) {
      const double *j = jac_.data() + i * size, *m = carried + i * size;
      for (std::size_t r = 0; r < dim_; ++r) {
        double* to = rate + i * size + r * dim_;
        std::fill_n(to, dim_, 0.0);
        for (std::size_t k = 0; k < dim_; ++k) {
          for (std::size_t c = 0; c < dim_; ++c) to[c] += j[r * dim_ + k] * m[k * dim_ + c];
        }
      }
    }
  }
  return !field_.failed();
}

template bool System::rates(double, std::size_t, const double*, const double*, const std::size_t*,
                            double*, double*) noexcept;
template bool System::rates(std::span<const double>, std::size_t, const double*, const double*,
                            const std::size_t*, double*, double*) noexcept;

}  // namespace recouple
