// A velocity field on the line known by its values at grid points of (t, x).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace recouple {

// How a grid field goes on beyond its first and last point, in x and in t.
enum class Extrapolation {
  linear,    // along the tangent at the edge
  constant,  // with the value at the edge
};

// Cubic in x and in t between the grid points: tensor-product splines with two continuous
// derivatives (not-a-knot), or monotone in x (slopes limited so that no new extremum appears).
class GridField {
 public:
  // v is row-major (t.size(), x.size()). Throws std::invalid_argument on fewer than 2 points a
  // side, points that do not increase, sizes that do not match, and entries that are not finite.
  GridField(std::span<const double> t, std::span<const double> x, std::span<const double> v,
            bool monotone, Extrapolation extrapolation);

  std::size_t dim() const noexcept { return 1; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void operator()(std::span<const double> t, std::span<const double> x,
                  std::span<double> v) const noexcept;
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept;
  double cost_ns() const noexcept { return 25; }

 private:
  // Increasing points, looked up by arithmetic when they are equally spaced, by bisection
  // otherwise.
  struct Axis {
    explicit Axis(std::span<const double> points, const char* name);
    std::size_t cell(double at) const noexcept;
    std::vector<double> points;
    double inverse_spacing;  // 0 if the points are not equally spaced
  };
  struct Node {
    double v, v_x, v_t, v_xt;
  };
  struct TimeWeights {
    std::size_t row;
    double value0, slope0, value1, slope1;  // of the nodes at `row` and at `row + 1`
  };
  TimeWeights at_time(double t) const noexcept;
  void at_point(const TimeWeights& time, double x, double& v, double& slope) const noexcept;

  Axis t_, x_;
  std::vector<Node> nodes_;
  bool linear_;
};

}  // namespace recouple
