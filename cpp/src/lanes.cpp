#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace recouple {
namespace {

// Arrays of one allocation, each starting on a cache line.
std::size_t padded(std::size_t n) noexcept {
  return (n + 7) / 8 * 8;
}

const FlowKernels& kernel() noexcept {
  return kernels<FlowKernels>();
}

}  // namespace

LaneBlock::LaneBlock(const Problem& problem, std::size_t capacity)
    : problem_(problem),
      dim_(problem.dim()),
      point_(capacity),
      next_eval_(capacity),
      k_(problem.method.rates()),
      memory_((k_.size() + 3) * padded(capacity * dim_)),
      weights_(k_.size()) {
  double* next = memory_.data();
  const auto take = [&] { return std::exchange(next, next + padded(capacity * dim_)); };
  x_ = take(), y_ = take(), scratch_ = take();
  for (double*& k : k_) k = take();
}

bool LaneBlock::rates(double t, const double* x, double* k) noexcept {
  problem_.field(t, std::span(x, active_ * dim_), std::span(k, active_ * dim_));
  return !problem_.field.failed();
}

bool LaneBlock::rates(const double* t, std::size_t first, std::size_t count, const double* x,
                      double* k) noexcept {
  problem_.field(std::span(t + first, count), std::span(x + first * dim_, count * dim_),
                 std::span(k + first * dim_, count * dim_));
  return !problem_.field.failed();
}

void LaneBlock::begin(std::size_t lane, std::size_t point) noexcept {
  point_[lane] = point;
  next_eval_[lane] = 0;
  std::copy_n(&problem_.x0[point * dim_], dim_, x_ + lane * dim_);
  while (next_eval_[lane] < problem_.t_eval.size() &&
         problem_.t_eval[next_eval_[lane]] == problem_.t0) {
    const std::size_t row = next_eval_[lane]++ * problem_.size() + point;
    std::copy_n(&problem_.x0[point * dim_], dim_, &problem_.out.x_eval[row * dim_]);
  }
}

void LaneBlock::end(std::size_t lane, FlowStatus status, double t, double steps, double rejected,
                    double evaluations) noexcept {
  const FlowView& out = problem_.out;
  const std::size_t point = point_[lane], last = --active_;
  std::copy_n(x_ + lane * dim_, dim_, &out.x[point * dim_]);
  out.t[point] = t;
  out.status[point] = status;
  out.steps[point] = static_cast<std::int32_t>(steps);
  out.rejected[point] = static_cast<std::int32_t>(rejected);
  out.evaluations[point] = static_cast<std::int32_t>(evaluations);
  if (lane == last) return;
  point_[lane] = point_[last];
  next_eval_[lane] = next_eval_[last];
  std::copy_n(x_ + last * dim_, dim_, x_ + lane * dim_);
  std::copy_n(k_[0] + last * dim_, dim_, k_[0] + lane * dim_);
}

bool LaneBlock::due(std::size_t lane, double t) const noexcept {
  if (next_eval_[lane] >= problem_.t_eval.size()) return false;
  const double wanted = problem_.t_eval[next_eval_[lane]];
  return problem_.t1 > problem_.t0 ? wanted <= t : wanted >= t;
}

void LaneBlock::sample(std::size_t lane, double start, double h, double stop) noexcept {
  for (; due(lane, stop); ++next_eval_[lane]) {
    const double wanted = problem_.t_eval[next_eval_[lane]];
    double* to = &problem_.out.x_eval[(next_eval_[lane] * problem_.size() + point_[lane]) * dim_];
    if (wanted == stop) {
      std::copy_n(y_ + lane * dim_, dim_, to);
      continue;
    }
    problem_.method.interpolation((wanted - start) / h, weights_);
    for (std::size_t d = lane * dim_; d < (lane + 1) * dim_; ++d) {
      double sum = 0;
      for (std::size_t j = 0; j < k_.size(); ++j) sum += weights_[j] * k_[j][d];
      *to++ = x_[d] + h * sum;
    }
  }
}

// ---------------------------------------------------------------------------------- fixed steps

bool FixedLanes::solve(std::size_t first, std::size_t last, const Poll& poll) noexcept {
  const Tableau& m = problem_.method;
  const std::size_t steps = problem_.options.steps;
  const double span = problem_.t1 - problem_.t0;
  const auto time = [&](std::size_t k) {
    return k == steps ? problem_.t1 : problem_.t0 + span * (double(k) / double(steps));
  };
  const double h = span / double(steps);
  active_ = 0, evaluations_ = 0;
  for (std::size_t point = first; point < last; ++point) begin(active_++, point);

  bool rate_known = false;  // k_[0] is the rate at x_
  for (std::size_t k = 0; k < steps && active_ > 0; ++k) {
    const double t = time(k), next = time(k + 1);
    bool go = !poll || poll();
    for (std::size_t j = 0; go && j < m.stages; ++j) {
      if (j == 0 && rate_known) continue;
      if (j > 0) {
        kernel().advance(h, x_, Tableau::terms(m.a[j], k_), scratch_, active_ * dim_);
      }
      go = rates(m.c[j] == 1 ? next : t + m.c[j] * h, j > 0 ? scratch_ : x_, k_[j]);
      ++evaluations_;
    }
    if (!go) {
      end_all(FlowStatus::stopped, t, k);
      return false;
    }
    kernel().advance(h, x_, Tableau::terms(m.a[m.stages], k_), y_, active_ * dim_);
    if (!kernel().all_finite(y_, active_ * dim_)) {
      for (std::size_t i = active_; i-- > 0;) {
        if (kernel().all_finite(y_ + i * dim_, dim_)) continue;
        std::copy_n(y_ + (active_ - 1) * dim_, dim_, y_ + i * dim_);
        for (std::size_t j = 1; j < m.stages; ++j) {
          std::copy_n(k_[j] + (active_ - 1) * dim_, dim_, k_[j] + i * dim_);
        }
        end(i, FlowStatus::non_finite, t, double(k), 0, double(evaluations_));
      }
    }
    rate_known = false;
    if (active_ > 0 && due(0, next)) {  // all lanes share the time
      if (problem_.t_eval[next_eval_[0]] != next) {
        if (!rates(next, y_, k_[m.stages])) {
          end_all(FlowStatus::stopped, t, k);
          return false;
        }
        ++evaluations_;
        rate_known = true;
      }
      for (std::size_t i = 0; i < active_; ++i) sample(i, t, next - t, next);
      if (rate_known) std::swap(k_[0], k_[m.stages]);
    }
    std::swap(x_, y_);
  }
  end_all(FlowStatus::ok, problem_.t1, steps);
  return true;
}

void FixedLanes::end_all(FlowStatus status, double t, std::size_t steps) noexcept {
  while (active_ > 0) end(active_ - 1, status, t, double(steps), 0, double(evaluations_));
}

// ------------------------------------------------------------------------------- adaptive steps

AdaptiveLanes::AdaptiveLanes(const Problem& problem, std::size_t capacity)
    : LaneBlock(problem, capacity),
      capacity_(capacity),
      controller_{problem.method.alpha, problem.method.beta, problem.t1,
                  16 * std::numeric_limits<double>::epsilon() *
                      std::max(std::abs(problem.t0), std::abs(problem.t1)),
                  double(problem.options.max_steps)},
      lane_memory_(13 * padded(capacity)),
      wide_(dim_ > 1 ? capacity * dim_ : 0) {
  double* next = lane_memory_.data();
  for (double** array : {&lanes_.t, &lanes_.h, &lanes_.log_error, &lanes_.growth, &lanes_.steps,
                         &lanes_.rejected, &lanes_.accepted, &lanes_.event, &times_, &started_,
                         &used_, &error2_, &dense_evaluations_}) {
    *array = std::exchange(next, next + padded(capacity));
  }
}

bool AdaptiveLanes::solve(std::size_t first, std::size_t last, const Poll& poll) noexcept {
  active_ = 0;
  // A refill costs a pass over few lanes, so it waits until a quarter of them stand empty.
  const std::size_t refill = capacity_ - capacity_ / 4;
  for (std::size_t waiting = first;;) {
    if (waiting < last && active_ <= refill) {
      const std::size_t count = std::min(last - waiting, capacity_ - active_);
      if (!load(waiting, count)) break;
      waiting += count;
    }
    if (active_ == 0) {
      if (waiting == last) return true;
      continue;
    }
    if (poll && !poll()) break;
    if (!step()) break;
  }
  while (active_ > 0) retire(active_ - 1, FlowStatus::stopped);
  return false;
}

// New lanes at the end of the block: their points, rates and first steps.
bool AdaptiveLanes::load(std::size_t first, std::size_t count) noexcept {
  const std::size_t from = active_;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t lane = active_++;
    begin(lane, first + i);
    lanes_.t[lane] = problem_.t0;
    lanes_.h[lane] = 0;
    lanes_.log_error[lane] = -13.287712379549449;  // log2(1e-4): no error seen yet
    lanes_.growth[lane] = 10;
    lanes_.steps[lane] = lanes_.rejected[lane] = dense_evaluations_[lane] = 0;
  }
  if (!rates(lanes_.t, from, count, x_, k_[0])) return false;
  for (std::size_t lane = from; lane < active_; ++lane) choose_first_step(lane, nullptr);
  for (std::size_t lane = from; lane < active_; ++lane) {
    times_[lane] = lanes_.t[lane] + lanes_.h[lane];
    for (std::size_t d = lane * dim_; d < (lane + 1) * dim_; ++d) {
      y_[d] = x_[d] + lanes_.h[lane] * k_[0][d];
    }
  }
  if (!rates(times_, from, count, y_, k_[1])) return false;
  for (std::size_t lane = from; lane < active_; ++lane) choose_first_step(lane, k_[1]);
  for (std::size_t lane = active_; lane-- > from;) {
    if (!kernel().all_finite(k_[0] + lane * dim_, dim_)) retire(lane, FlowStatus::non_finite);
  }
  return true;
}

// The automatic first step of Hairer, Norsett & Wanner (1993), II.4: first a hundredth of |x| /
// |v|, then, knowing the rate `probe` there, a step of about a hundredth of the error allowed.
void AdaptiveLanes::choose_first_step(std::size_t lane, const double* probe) noexcept {
  const double span = problem_.t1 - problem_.t0;
  double place = 0, rate = 0, change = 0;
  for (std::size_t d = lane * dim_; d < (lane + 1) * dim_; ++d) {
    const double allowed = problem_.options.atol + problem_.options.rtol * std::abs(x_[d]);
    const auto square = [&](double v) { return (v / allowed) * (v / allowed); };
    place += square(x_[d]);
    rate += square(k_[0][d]);
    if (probe) change += square(probe[d] - k_[0][d]);
  }
  place = std::sqrt(place / double(dim_));
  rate = std::sqrt(rate / double(dim_));
  double& h = lanes_.h[lane];
  if (!probe) {
    h = place < 1e-5 || !(rate >= 1e-5) ? 1e-6 : 0.01 * place / rate;
  } else {
    const double tried = std::abs(h);
    change = std::sqrt(change / double(dim_)) / tried;
    const double largest = std::max(rate, change);
    h = !(largest > 1e-15) ? std::max(1e-6, 1e-3 * tried)
                           : std::pow(0.01 / largest, 1 / double(problem_.method.order));
    h = std::min(100 * tried, h);
    if (!(h > 0)) h = 0.1 * tried;  // the probe was not finite
  }
  h = std::copysign(std::min(h, std::abs(span)), span);
}

// A lane's value repeated for each coordinate of its point.
const double* AdaptiveLanes::spread(const double* per_lane) noexcept {
  if (dim_ == 1) return per_lane;
  for (std::size_t i = 0; i < active_; ++i) {
    std::fill_n(wide_.begin() + std::ptrdiff_t(i * dim_), dim_, per_lane[i]);
  }
  return wide_.data();
}

bool AdaptiveLanes::step() noexcept {
  const Tableau& m = problem_.method;
  const std::size_t elements = active_ * dim_;
  const double* h = spread(lanes_.h);
  const auto stage = [&](std::size_t j, double* at) {
    kernel().advance_each(h, x_, Tableau::terms(m.a[j], k_), at, elements);
    kernel().stage_times(lanes_.t, lanes_.h, m.c[j], times_, active_);
    return rates(times_, 0, active_, at, k_[j]);
  };
  for (std::size_t j = 1; j <= m.stages; ++j) {
    if (!stage(j, j < m.stages ? scratch_ : y_)) return false;
  }
  squared_errors();
  std::copy_n(lanes_.t, active_, started_);
  std::copy_n(lanes_.h, active_, used_);
  const ControlSummary summary = kernel().control(controller_, error2_, lanes_, active_);

  if (!problem_.t_eval.empty()) {
    bool any = false;
    for (std::size_t i = 0; i < active_ && !any; ++i) {
      any = lanes_.accepted[i] != 0 && due(i, lanes_.t[i]);
    }
    if (any && m.extra() > 0) {
      h = spread(used_);
      for (std::size_t j = m.stages + 1; j < m.rates(); ++j) {
        kernel().advance_each(h, x_, Tableau::terms(m.a[j], k_), scratch_, elements);
        kernel().stage_times(started_, used_, m.c[j], times_, active_);
        if (!rates(times_, 0, active_, scratch_, k_[j])) return false;
      }
      for (std::size_t i = 0; i < active_; ++i) dense_evaluations_[i] += double(m.extra());
    }
    for (std::size_t i = 0; any && i < active_; ++i) {
      if (lanes_.accepted[i] != 0) sample(i, started_[i], used_[i], lanes_.t[i]);
    }
  }

  take_accepted(summary.accepted);
  if (summary.events == 0) return true;
  for (std::size_t i = active_; i-- > 0;) {
    if (lanes_.event[i] == lane_event::finished) {
      retire(i, FlowStatus::ok);
    } else if (lanes_.event[i] == lane_event::too_many) {
      retire(i, FlowStatus::too_many_steps);
    } else if (lanes_.event[i] == lane_event::too_small) {
      retire(i, why_stuck(i));
    }
  }
  return true;
}

// Mean over the coordinates of the squared error, in units of what is allowed.
void AdaptiveLanes::squared_errors() noexcept {
  const Tableau& m = problem_.method;
  const FlowOptions& o = problem_.options;
  const double* h = spread(lanes_.h);
  const auto estimate = [&](const Row& row, double* into) {
    double* each = dim_ == 1 ? into : scratch_;
    kernel().scaled_error(h, Tableau::terms(row, k_), x_, y_, o.atol, o.rtol, each, active_ * dim_);
    if (dim_ == 1) return;
    for (std::size_t i = 0; i < active_; ++i) {
      double sum = 0;
      for (std::size_t d = i * dim_; d < (i + 1) * dim_; ++d) sum += each[d];
      into[i] = sum / double(dim_);
    }
  };
  estimate(m.error[0], error2_);
  if (m.error.size() > 1) {  // Hairer's combination of estimates of order 5 and 3
    estimate(m.error[1], times_);
    for (std::size_t i = 0; i < active_; ++i) {
      const double fine = error2_[i], both = fine + 0.01 * times_[i];
      error2_[i] = both > 0 ? fine * (fine / both) : both;
    }
  }
}

void AdaptiveLanes::take_accepted(std::size_t accepted) noexcept {
  double*& first = k_[0];
  double*& last = k_[problem_.method.stages];
  if (accepted == active_) {
    std::swap(x_, y_);
    std::swap(first, last);
  } else if (dim_ == 1) {
    kernel().choose(lanes_.accepted, y_, x_, active_);
    kernel().choose(lanes_.accepted, last, first, active_);
  } else {
    for (std::size_t i = 0; i < active_; ++i) {
      if (lanes_.accepted[i] == 0) continue;
      std::copy_n(y_ + i * dim_, dim_, x_ + i * dim_);
      std::copy_n(last + i * dim_, dim_, first + i * dim_);
    }
  }
}

FlowStatus AdaptiveLanes::why_stuck(std::size_t lane) const noexcept {
  if (!kernel().all_finite(y_ + lane * dim_, dim_)) return FlowStatus::non_finite;
  for (const double* k : k_) {
    if (!kernel().all_finite(k + lane * dim_, dim_)) return FlowStatus::non_finite;
  }
  return FlowStatus::step_too_small;
}

void AdaptiveLanes::retire(std::size_t lane, FlowStatus status) noexcept {
  const double attempts = lanes_.steps[lane] + lanes_.rejected[lane];
  const double evaluations =
      2 + attempts * double(problem_.method.stages) + dense_evaluations_[lane];
  end(lane, status, status == FlowStatus::ok ? problem_.t1 : lanes_.t[lane], lanes_.steps[lane],
      lanes_.rejected[lane], evaluations);
  // Events are read from the last lane down, so the one that moves in has been dealt with.
  for (double* array : {lanes_.t, lanes_.h, lanes_.log_error, lanes_.growth, lanes_.steps,
                        lanes_.rejected, dense_evaluations_}) {
    array[lane] = array[active_];
  }
}

}  // namespace recouple
