#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// sum_j weight[j] * rate[j][i], over the stages whose weight is not zero.
struct Terms {
  std::size_t size = 0;
  const double* rate[16];
  double weight[16];
};

// Step sizes against errors: with e the error of a step in units of what is allowed,
//   h_next = h * clamp(0.9 e^(-1 / order)).
//
// A single trajectory has few coordinates, so that an estimate can vanish by chance. The step
// before lets one expect about e_before (h / h_before)^order; of an estimate far below that, no
// more than a factor of ten is believed, and steps grow far only after two small errors in a row.
struct Controller {
  double order;
  double h_min;
  double max_steps;
};

// What a lane carries from step to step. Counts are doubles so that all of it is one kind of lane.
struct Lanes {
  double *t, *h;
  double* target;    // a time that a step must end at
  double* expected;  // log2 of the error that the step before lets one expect
  double* growth;    // largest factor the next step may grow by: 1 after a rejection
  double *steps, *rejected;
  double* accepted;  // of the last step: 1 or 0
  double* event;     // of the last step, one of lane_event
};

namespace lane_event {
inline constexpr double none = 0, arrived = 1, too_small = 2, too_many = 3;
}

struct ControlSummary {
  std::size_t accepted, events;
};

struct FlowKernels {
  // y[i] = x[i] + h sum_j w[j] k[j][i], with one step for all or each element's own.
  void (*advance)(double h, const double* x, const Terms& terms, double* y, std::size_t n) noexcept;
  void (*advance_each)(const double* h, const double* x, const Terms& terms, double* y,
                       std::size_t n) noexcept;
  // e[i] = (h[i] sum_j w[j] k[j][i] / (atol + rtol max(|x[i]|, |y[i]|)))^2
  void (*scaled_error)(const double* h, const Terms& terms, const double* x, const double* y,
                       double atol, double rtol, double* e, std::size_t n) noexcept;
  // times[i] = t[i] + c h[i]
  void (*stage_times)(const double* t, const double* h, double c, double* times,
                      std::size_t n) noexcept;
  // Accepts or rejects each lane's step by its squared error, moves its time and chooses its next
  // step.
  ControlSummary (*control)(const Controller& controller, const double* error2, const Lanes& lanes,
                            std::size_t n) noexcept;
  // x[i] = chosen[i] ? y[i] : x[i]
  void (*choose)(const double* chosen, const double* y, double* x, std::size_t n) noexcept;
  bool (*all_finite)(const double* x, std::size_t n) noexcept;

  template <Simd>
  static const FlowKernels& at() noexcept;
};

}  // namespace recouple
