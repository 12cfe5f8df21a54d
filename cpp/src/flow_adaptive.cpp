#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "flow_lanes.hpp"

namespace recouple {
namespace {

constexpr double nothing_expected = -1000;  // log2 of an error

const FlowKernels& kernel() noexcept {
  return kernels<FlowKernels>();
}

}  // namespace

AdaptiveLanes::AdaptiveLanes(const Problem& problem, std::size_t capacity)
    : LaneBlock(problem, capacity),
      capacity_(capacity),
      controller_{double(problem.method.order),
                  16 * std::numeric_limits<double>::epsilon() *
                      std::max(std::abs(problem.t0), std::abs(problem.t1)),
                  double(problem.options.max_steps)} {
  const std::size_t room = (capacity + 7) / 8 * 8;
  lane_memory_.resize(14 * room);
  double* next = lane_memory_.data();
  for (double** array : {&lanes_.t, &lanes_.h, &lanes_.target, &lanes_.expected, &lanes_.growth,
                         &lanes_.steps, &lanes_.rejected, &lanes_.accepted, &lanes_.event, &times_,
                         &started_, &used_, &error2_, &dense_evaluations_}) {
    *array = std::exchange(next, next + room);
  }
}

bool AdaptiveLanes::solve(std::size_t first, std::size_t last, const Poll& poll) noexcept {
  active_ = 0;
  // A refill costs a pass over few lanes, so it waits until a quarter of them stand empty.
  const std::size_t refill = capacity_ - capacity_ / 4;
  std::size_t waiting = first;
  while (waiting < last || active_ > 0) {
    if (waiting < last && (active_ == 0 || active_ <= refill)) {
      const std::size_t count = std::min(last - waiting, capacity_ - active_);
      if (!load(waiting, count)) break;
      waiting += count;
    }
    if (active_ == 0) continue;
    if (poll && !poll()) break;
    if (!step()) break;
  }
  const bool done = waiting == last && active_ == 0;
  while (active_ > 0) retire(active_ - 1, FlowStatus::stopped);
  return done;
}

// New lanes at the end of the block: their points, rates and first steps.
bool AdaptiveLanes::load(std::size_t first, std::size_t count) noexcept {
  const std::size_t from = active_;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t lane = active_++;
    begin(lane, first + i);
    lanes_.t[lane] = problem_.t0;
    lanes_.h[lane] = 0;
    lanes_.target[lane] = next_target(problem_.t0);
    lanes_.expected[lane] = nothing_expected;
    lanes_.growth[lane] = 10;
    lanes_.steps[lane] = lanes_.rejected[lane] = dense_evaluations_[lane] = 0;
  }
  if (!rates(lanes_.t, from, count, x_, k_[0])) return false;
  for (std::size_t lane = from; lane < active_; ++lane) choose_first_step(lane, nullptr);
  for (std::size_t lane = from; lane < active_; ++lane) {
    times_[lane] = lanes_.t[lane] + lanes_.h[lane];
    for (const Segment& s : segments_) {
      const std::size_t begin = s.offset + lane * s.width;
      for (std::size_t d = begin; d < begin + s.width; ++d)
        y_[d] = x_[d] + lanes_.h[lane] * k_[0][d];
    }
  }
  if (!rates(times_, from, count, y_, k_[1])) return false;
  for (std::size_t lane = from; lane < active_; ++lane) choose_first_step(lane, k_[1]);
  for (std::size_t lane = active_; lane-- > from;) {
    if (!finite(k_[0], lane)) retire(lane, FlowStatus::non_finite);
  }
  return true;
}

// The automatic first step of Hairer, Norsett & Wanner (1993), II.4: first a hundredth of |x| /
// |v|, then, knowing the rate `probe` there, a step of about a hundredth of the error allowed.
void AdaptiveLanes::choose_first_step(std::size_t lane, const double* probe) noexcept {
  const double span = problem_.t1 - problem_.t0;
  const FlowOptions& o = problem_.options;
  double place = 0, rate = 0, change = 0;
  for (std::size_t d = lane * dim_; d < (lane + 1) * dim_; ++d) {
    const double allowed = o.atol + o.rtol * std::abs(x_[d]);
    const auto square = [&](double v) { return (v / allowed) * (v / allowed); };
    place += square(x_[d]);
    rate += square(k_[0][d]);
    if (probe != nullptr) change += square(probe[d] - k_[0][d]);
  }
  place = std::sqrt(place / double(dim_));
  rate = std::sqrt(rate / double(dim_));
  double& h = lanes_.h[lane];
  double error_rate = 0;  // the error expected of a step h is error_rate h^order
  if (probe == nullptr) {
    h = place < 1e-5 || !(rate >= 1e-5) ? 0 : 0.01 * place / rate;
    h = std::max(h, 1e-6 * std::abs(span));
  } else {
    const double tried = std::abs(h);
    change = std::sqrt(change / double(dim_)) / tried;
    error_rate = std::max(rate, change);
    h = !(error_rate > 1e-15) ? std::max(1e-6 * std::abs(span), 1e-3 * tried)
                              : std::pow(0.01 / error_rate, 1 / double(problem_.method.order));
    h = std::min(100 * tried, h);
    if (!(h > 0)) h = 0.1 * tried;  // the probe was not finite
  }
  h = std::min(h, std::abs(lanes_.target[lane] - problem_.t0));
  if (error_rate > 0 && std::isfinite(error_rate)) {
    lanes_.expected[lane] = std::log2(error_rate) + double(problem_.method.order) * std::log2(h);
  }
  h = std::copysign(h, span);
}

bool AdaptiveLanes::step() noexcept {
  const Tableau& m = problem_.method;
  for (std::size_t j = 1; j <= m.stages; ++j) {
    double* at = j < m.stages ? scratch_ : y_;
    advance(lanes_.h, m.a[j], at);
    kernel().stage_times(lanes_.t, lanes_.h, m.c[j], times_, active_);
    if (!rates(times_, 0, active_, at, k_[j])) return false;
  }
  squared_errors();
  std::copy_n(lanes_.t, active_, started_);
  std::copy_n(lanes_.h, active_, used_);
  const ControlSummary summary = kernel().control(controller_, error2_, lanes_, active_);
  if (!sample_accepted()) return false;
  take_accepted(summary.accepted);
  for (std::size_t i = active_; summary.events > 0 && i-- > 0;) {
    if (lanes_.event[i] == lane_event::arrived) {
      arrive(i);
    } else if (lanes_.event[i] == lane_event::too_many) {
      retire(i, FlowStatus::too_many_steps);
    } else if (lanes_.event[i] == lane_event::too_small) {
      retire(i, why_stuck(i));
    }
  }
  return true;
}

// What t_eval and dense output want of the steps just accepted. False if the field failed.
bool AdaptiveLanes::sample_accepted() noexcept {
  const Tableau& m = problem_.method;
  if (problem_.t_eval.empty() && !problem_.dense) return true;
  bool any = problem_.dense;
  for (std::size_t i = 0; i < active_ && !any; ++i) {
    any = lanes_.accepted[i] != 0 && due(i, lanes_.t[i]);
  }
  if (!any) return true;
  for (std::size_t j = m.stages + 1; j < m.rates(); ++j) {
    advance(used_, m.a[j], scratch_);
    kernel().stage_times(started_, used_, m.c[j], times_, active_);
    if (!rates(times_, 0, active_, scratch_, k_[j])) return false;
  }
  for (std::size_t i = 0; i < active_; ++i) {
    dense_evaluations_[i] += double(m.extra());
    if (lanes_.accepted[i] == 0) continue;
    sample(i, started_[i], used_[i], lanes_.t[i]);
    if (problem_.dense) keep(i, started_[i], used_[i]);
  }
  return true;
}

// Squared error of each lane in units of what is allowed: the mean over its coordinates, and of
// what it carries, whichever is larger.
void AdaptiveLanes::squared_errors() noexcept {
  const Tableau& m = problem_.method;
  squared_error(m.error[0], error2_);
  if (m.error.size() == 1) return;
  squared_error(m.error[1], times_);  // dop853: Hairer's combination of orders 5 and 3
  for (std::size_t i = 0; i < active_; ++i) {
    const double fine = error2_[i], both = fine + 0.01 * times_[i];
    error2_[i] = both > 0 ? fine * (fine / both) : both;
  }
}

void AdaptiveLanes::squared_error(const Row& row, double* into) noexcept {
  for (const Segment& s : segments_) {
    const bool first = s.offset == 0;
    double* each = first && s.width == 1 ? into : scratch_;
    kernel().scaled_error(spread(s, lanes_.h), terms(row, k_, s.offset), x_ + s.offset,
                          y_ + s.offset, s.atol, s.rtol, each, active_ * s.width);
    if (each == into) continue;
    for (std::size_t i = 0; i < active_; ++i) {
      double sum = 0;
      for (std::size_t d = i * s.width; d < (i + 1) * s.width; ++d) sum += each[d];
      sum /= double(s.width);
      if (first || sum > into[i] || sum != sum) into[i] = sum;
    }
  }
}

void AdaptiveLanes::take_accepted(std::size_t accepted) noexcept {
  double*& first = k_[0];
  double*& last = k_[problem_.method.stages];
  if (accepted == active_) {
    std::swap(x_, y_);
    std::swap(first, last);
    return;
  }
  for (const Segment& s : segments_) {
    const double* chosen = spread(s, lanes_.accepted);
    kernel().choose(chosen, y_ + s.offset, x_ + s.offset, active_ * s.width);
    kernel().choose(chosen, last + s.offset, first + s.offset, active_ * s.width);
  }
}

// The next pole after time t, or the end.
double AdaptiveLanes::next_target(double t) const noexcept {
  double next = problem_.t1;
  for (const double pole : problem_.options.poles) {
    const bool between = problem_.t1 > t ? pole > t && pole < next : pole < t && pole > next;
    if (between) next = pole;
  }
  return next;
}

void AdaptiveLanes::arrive(std::size_t lane) noexcept {
  const double t = lanes_.t[lane];
  if (t == problem_.t1) return retire(lane, FlowStatus::ok);
  if (collides(t, x_ + lane * dim_)) return retire(lane, FlowStatus::collision);
  lanes_.target[lane] = next_target(t);
  const double rest = lanes_.target[lane] - t;
  if (std::abs(lanes_.h[lane]) > std::abs(rest)) lanes_.h[lane] = rest;
}

FlowStatus AdaptiveLanes::why_stuck(std::size_t lane) const noexcept {
  const double target = lanes_.target[lane], span = problem_.t1 - problem_.t0;
  if (target != problem_.t1 && std::abs(target - lanes_.t[lane]) < 1e-6 * std::abs(span)) {
    return FlowStatus::collision;
  }
  bool all = finite(y_, lane);
  for (std::size_t j = 0; j <= problem_.method.stages; ++j) all = all && finite(k_[j], lane);
  return all ? FlowStatus::step_too_small : FlowStatus::non_finite;
}

void AdaptiveLanes::retire(std::size_t lane, FlowStatus status) noexcept {
  const double attempts = lanes_.steps[lane] + lanes_.rejected[lane];
  const double evaluations =
      2 + attempts * double(problem_.method.stages) + dense_evaluations_[lane];
  end(lane, status, lanes_.t[lane], lanes_.steps[lane], lanes_.rejected[lane], evaluations);
  // Events are read from the last lane down, so the one that moves in has been dealt with.
  for (double* array : {lanes_.t, lanes_.h, lanes_.target, lanes_.expected, lanes_.growth,
                        lanes_.steps, lanes_.rejected, dense_evaluations_}) {
    array[lane] = array[active_];
  }
}

}  // namespace recouple
