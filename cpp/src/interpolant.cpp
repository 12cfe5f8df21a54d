#include "recouple/interpolant.hpp"

#include <cmath>
#include <numbers>

namespace recouple {

Coefficients coefficients(Interpolant interpolant, double t) noexcept {
  if (interpolant == Interpolant::trigonometric) {
    constexpr double quarter = std::numbers::pi / 2;
    const double a = std::cos(quarter * t), b = std::sin(quarter * t);
    return {a, b, -quarter * b, quarter * a};
  }
  return {1 - t, t, -1, 1};
}

std::string_view name(Interpolant interpolant) noexcept {
  return interpolant == Interpolant::trigonometric ? "trigonometric" : "linear";
}

}  // namespace recouple
