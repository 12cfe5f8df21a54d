// What is integrated: points, and what they carry along.
#pragma once

#include <span>
#include <vector>

#include "recouple/flow.hpp"

namespace recouple {

// Rates of change of `count` points (rows of D) and of what they carry (rows of carried_width).
class System {
 public:
  // `capacity` points at most at once. A field that is not differentiable is differenced.
  System(const AnyField& field, const FlowOptions& options, std::size_t capacity);

  std::size_t dim() const noexcept { return dim_; }
  std::size_t width() const noexcept { return width_; }

  // Norm of the Jacobian of the field at one point; for options with poles.
  double steepness(double t, const double* x) noexcept;

  // The initial value of what a point carries.
  void start(double* carried) const noexcept;

  // At one time or at each point's own. `point` numbers the points, for their random directions.
  // False if the field failed.
  template <class Time>
  bool rates(Time t, std::size_t count, const double* x, const double* carried,
             const std::size_t* point, double* v, double* rate) noexcept;

 private:
  template <class Time>
  void divergence(Time t, std::size_t count, const double* x, const std::size_t* point,
                  double* div) noexcept;
  template <class Time>
  void jacobian(Time t, std::size_t count, const double* x, double* jac) noexcept;
  template <class Time>
  void difference(Time t, std::size_t count, const double* x, std::size_t d) noexcept;

  const AnyField& field_;
  Carried carried_;
  Differences differences_;
  std::size_t dim_, width_;
  std::vector<double> forward_, backward_, at_, jac_;
};

}  // namespace recouple
