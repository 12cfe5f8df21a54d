// Interpolants X_t = a(t) X0 + b(t) X1 with a(0) = b(1) = 1 and a(1) = b(0) = 0.
#pragma once

#include <string_view>

namespace recouple {

// a, b and their time derivatives at one time.
struct Coefficients {
  double a, b, da, db;
};

enum class Interpolant {
  linear,         // a = 1 - t, b = t
  trigonometric,  // a = cos(pi t / 2), b = sin(pi t / 2): keeps a^2 + b^2 = 1
};

Coefficients coefficients(Interpolant interpolant, double t) noexcept;

std::string_view name(Interpolant interpolant) noexcept;

}  // namespace recouple
