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

// Whether the method can choose its own steps; the others need FlowOptions::steps equal ones.
bool adaptive(Method method) noexcept;
std::string_view name(Method method) noexcept;

// How a trajectory ended.
enum class FlowStatus : std::uint8_t {
  ok,
  step_too_small,  // the error stays too large down to rounding: a pole, or a jump
  too_many_steps,
  non_finite,  // the field is not finite where the trajectory needs it
  stopped,     // the field failed, or progress asked to stop, before the trajectory was done
  collision,  // trajectories meet where the field has a pole, or, on the line, one overtook another
};

// What each point carries along its trajectory x(t) = phi(x0), as rows of `carried_width` numbers.
enum class Carried {
  nothing,
  log_det,   // log |det d phi / d x0|, the integral of div v
  jacobian,  // d phi / d x0, row-major (D, D)
};
std::size_t carried_width(Carried carried, std::size_t dim) noexcept;

// How a field that is not differentiable is differentiated.
struct Differences {
  double step = 6e-6;  // central differences over +- step max(1, |x_d|); 6e-6: cube root of eps
  bool hutchinson = false;  // log_det: one random direction of signs per trajectory, not all D
  std::uint64_t seed = 0;   // of these directions
};

struct FlowOptions {
  Method method = Method::dopri5;
  double rtol = 1e-6, atol = 1e-9;  // adaptive: error allowed per step, atol + rtol |x|
  std::size_t max_steps = 100'000;  // adaptive: steps, taken or rejected, per trajectory
  std::size_t steps = 0;            // this many equal steps; 0 lets the method choose
  std::vector<double> poles;        // times where the field is known to be singular
  Carried carried = Carried::nothing;
  Differences differences;
  int threads = 0;
  Progress progress;
};

// All steps of all trajectories as polynomials, to evaluate them at any time.
struct DenseFlow {
  std::size_t dim = 0, degree = 0;
  double t0 = 0, t1 = 0;
  std::vector<std::size_t> first;    // (n + 1,): steps of trajectory i are [first[i], first[i + 1])
  std::vector<double> start, h;      // of each step
  std::vector<double> coefficients;  // (step, degree + 1, dim), of powers of (t - start) / h

  // x is (t.size(), n, dim): every trajectory at every time, NaN beyond where it got.
  void operator()(std::span<const double> t, std::span<double> x, int threads = 0) const;
};

// Where each trajectory ended (t is the end of the interval for those that are ok), and its points
// at the times asked for, NaN at times it did not reach: in memory that the caller holds.
struct FlowView {
  std::span<double> x, carried, t;
  std::span<FlowStatus> status;
  std::span<std::int32_t> steps, rejected, evaluations;
  std::span<double> x_eval, carried_eval;
};

// The same in memory of its own.
struct Flow {
  std::vector<double> x;        // (n, D)
  std::vector<double> carried;  // (n, carried_width)
  std::vector<double> t;        // (n,)
  std::vector<FlowStatus> status;
  std::vector<std::int32_t> steps, rejected, evaluations;
  std::vector<double> x_eval;        // (t_eval.size(), n, D)
  std::vector<double> carried_eval;  // (t_eval.size(), n, carried_width)

  bool ok() const noexcept;
  FlowView view() noexcept {
    return {x, carried, t, status, steps, rejected, evaluations, x_eval, carried_eval};
  }
};

// Solves from t0 to t1, forwards or backwards. x holds points, row-major (n, D); t_eval is monotone
// from t0 towards t1 and may be empty. Throws std::invalid_argument on sizes that do not fit, times
// or tolerances that are not finite, and t_eval out of order; everything else is a status.
void integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               std::span<const double> t_eval, const FlowOptions& options, const FlowView& out,
               DenseFlow* dense = nullptr);

Flow integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               const FlowOptions& options = {}, std::span<const double> t_eval = {});

// On the line trajectories keep their order. Marks in `crossed` (n,) the points i that some j
// overtook: x0[i] < x0[j] yet x[i] > x[j] by more than `slack[i] + slack[j]`, or the reverse.
// Points that are not finite take no part. Returns the number of marks.
std::size_t find_crossings(std::span<const double> x0, std::span<const double> x,
                           std::span<const double> slack, std::span<bool> crossed);

}  // namespace recouple
