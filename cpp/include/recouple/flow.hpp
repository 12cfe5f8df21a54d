// Flows: solutions of dx/dt = v(t, x) from many starting points at once.
//
// Points are worked on in blocks of lanes. With fixed steps all lanes share the time; an adaptive
// method gives each trajectory its own time, step and error control, and a lane that finishes makes
// room for the next point, so that a hard trajectory costs the others nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "recouple/field.hpp"
#include "recouple/parallel.hpp"

namespace recouple {

enum class Method { euler, midpoint, heun, rk4, bosh3, dopri5, tsit5, dop853 };

// Whether the method chooses its own steps; the others take FlowOptions::steps equal ones.
bool adaptive(Method method) noexcept;
std::string_view name(Method method) noexcept;

// How a trajectory ended.
enum class FlowStatus : std::uint8_t {
  ok,
  step_too_small,  // the error stays too large down to rounding: a pole, or a jump
  too_many_steps,
  non_finite,  // the field is not finite where the trajectory needs it
  stopped,     // the field failed, or progress asked to stop, before the trajectory was done
};

struct FlowOptions {
  Method method = Method::dopri5;
  double rtol = 1e-6, atol = 1e-9;  // adaptive: error allowed per step, atol + rtol |x|
  std::size_t max_steps = 100'000;  // adaptive: steps, taken or rejected, per trajectory
  std::size_t steps = 100;          // fixed steps
  int threads = 0;
  Progress progress;
};

// Where each trajectory ended (t is the end of the interval for those that are ok), and its points
// at the times asked for: NaN at times it did not reach.
struct Flow {
  std::vector<double> x;  // (n, D)
  std::vector<double> t;  // (n,)
  std::vector<FlowStatus> status;
  std::vector<std::int32_t> steps, rejected, evaluations;
  std::vector<double> x_eval;  // (t_eval.size(), n, D)

  bool ok() const noexcept;
};

// The same as views into memory that the caller holds.
struct FlowView {
  std::span<double> x, t;
  std::span<FlowStatus> status;
  std::span<std::int32_t> steps, rejected, evaluations;
  std::span<double> x_eval;
};

// Solves from t0 to t1, forwards or backwards. x holds points, row-major (n, D); t_eval is monotone
// from t0 towards t1 and may be empty. Throws std::invalid_argument on sizes that do not fit, times
// or tolerances that are not finite, and t_eval out of order; everything else is a status.
void integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               std::span<const double> t_eval, const FlowOptions& options, const FlowView& out);

Flow integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               const FlowOptions& options = {}, std::span<const double> t_eval = {});

}  // namespace recouple
