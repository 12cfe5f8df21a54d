#include "flow_lanes.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace recouple {
namespace {

// Arrays of one allocation, each starting on a cache line of its own.
std::size_t padded(std::size_t n) noexcept {
  return (n + 7) / 8 * 8;
}

const FlowKernels& kernel() noexcept {
  return kernels<FlowKernels>();
}

}  // namespace

LaneBlock::LaneBlock(const Problem& problem, std::size_t capacity)
    : problem_(problem),
      system_(problem.field, problem.options, capacity),
      dim_(problem.dim()),
      point_(capacity),
      next_eval_(capacity),
      k_(problem.method.rates()) {
  // What is carried is of the order of 1 (the log of a density, an identity matrix to start with),
  // so its error is measured against rtol itself.
  const FlowOptions& o = problem.options;
  const std::size_t width = system_.width();
  segments_.push_back({0, dim_, o.atol, o.rtol});
  if (width > 0) {
    segments_.push_back({padded(capacity * dim_), width, o.atol + o.rtol,
                         o.carried == Carried::jacobian ? o.rtol : 0});
  }
  const std::size_t state = padded(capacity * dim_) + padded(capacity * width);
  memory_.resize((k_.size() + 3) * state);
  wide_.resize(capacity * std::max(dim_, width));
  double* next = memory_.data();
  for (double** array : {&x_, &y_, &scratch_}) *array = std::exchange(next, next + state);
  for (double*& k : k_) k = std::exchange(next, next + state);
}

void LaneBlock::begin(std::size_t lane, std::size_t point) noexcept {
  point_[lane] = point;
  next_eval_[lane] = 0;
  std::copy_n(&problem_.x0[point * dim_], dim_, x_ + lane * dim_);
  if (segments_.size() > 1) {
    system_.start(x_ + segments_[1].offset + lane * segments_[1].width);
  }
  for (std::size_t& next = next_eval_[lane];
       next < problem_.t_eval.size() && problem_.t_eval[next] == problem_.t0; ++next) {
    const std::size_t row = next * problem_.size() + point;
    std::copy_n(x_ + lane * dim_, dim_, &problem_.out.x_eval[row * dim_]);
    if (segments_.size() > 1) {
      system_.start(&problem_.out.carried_eval[row * segments_[1].width]);
    }
  }
}

bool LaneBlock::rates(double t, const double* state, double* k) noexcept {
  const std::size_t carried = segments_.back().offset;
  return system_.rates(t, active_, state, state + carried, point_.data(), k, k + carried);
}

bool LaneBlock::rates(const double* t, std::size_t first, std::size_t count, const double* state,
                      double* k) noexcept {
  const std::size_t points = first * dim_;
  const std::size_t carried = segments_.back().offset + first * segments_.back().width;
  return system_.rates(std::span(t + first, count), count, state + points, state + carried,
                       point_.data() + first, k + points, k + carried);
}

void LaneBlock::advance(double h, const Row& row, double* to) noexcept {
  for (const Segment& s : segments_) {
    kernel().advance(h, x_ + s.offset, terms(row, k_, s.offset), to + s.offset, active_ * s.width);
  }
}

void LaneBlock::advance(const double* h, const Row& row, double* to) noexcept {
  for (const Segment& s : segments_) {
    kernel().advance_each(spread(s, h), x_ + s.offset, terms(row, k_, s.offset), to + s.offset,
                          active_ * s.width);
  }
}

const double* LaneBlock::spread(const Segment& segment, const double* per_lane) noexcept {
  if (segment.width == 1) return per_lane;
  double* to = wide_.data();
  for (std::size_t i = 0; i < active_; ++i) {
    for (std::size_t d = 0; d < segment.width; ++d) *to++ = per_lane[i];
  }
  return wide_.data();
}

bool LaneBlock::due(std::size_t lane, double t) const noexcept {
  if (next_eval_[lane] >= problem_.t_eval.size()) return false;
  const double wanted = problem_.t_eval[next_eval_[lane]];
  return problem_.t1 > problem_.t0 ? wanted <= t : wanted >= t;
}

void LaneBlock::sample(std::size_t lane, double start, double h, double stop) noexcept {
  const FlowView& out = problem_.out;
  for (; due(lane, stop); ++next_eval_[lane]) {
    const double wanted = problem_.t_eval[next_eval_[lane]];
    const std::size_t row = next_eval_[lane] * problem_.size() + point_[lane];
    const double s = (wanted - start) / h;
    weights_.assign(k_.size(), 0.0);
    double power = s;
    for (const Row& coefficient : problem_.method.polynomial) {
      for (const Weight& w : coefficient) weights_[w.stage] += power * w.value;
      power *= s;
    }
    for (const Segment& segment : segments_) {
      double* to =
          (segment.offset == 0 ? out.x_eval : out.carried_eval).data() + row * segment.width;
      const std::size_t from = segment.offset + lane * segment.width;
      for (std::size_t d = from; d < from + segment.width; ++d) {
        double sum = 0;
        for (std::size_t j = 0; j < k_.size(); ++j) sum += weights_[j] * k_[j][d];
        *to++ = wanted == stop ? y_[d] : x_[d] + h * sum;
      }
    }
  }
}

void LaneBlock::keep(std::size_t lane, double start, double h) noexcept {
  record_.point.push_back(point_[lane]);
  record_.start.push_back(start);
  record_.h.push_back(h);
  const double* x = x_ + lane * dim_;
  record_.coefficients.insert(record_.coefficients.end(), x, x + dim_);
  for (const Row& coefficient : problem_.method.polynomial) {
    for (std::size_t d = lane * dim_; d < (lane + 1) * dim_; ++d) {
      double sum = 0;
      for (const Weight& w : coefficient) sum += w.value * k_[w.stage][d];
      record_.coefficients.push_back(h * sum);
    }
  }
}

void LaneBlock::copy_lane(const double* from, std::size_t from_lane, double* to,
                          std::size_t to_lane) const noexcept {
  for (const Segment& s : segments_) {
    std::copy_n(from + s.offset + from_lane * s.width, s.width, to + s.offset + to_lane * s.width);
  }
}

bool LaneBlock::collides(double pole, const double* x) noexcept {
  // Straight paths arrive at a pole as if nothing were there. But where trajectories meet, the
  // slope of the field grows like 1 / distance, while elsewhere it stays what it is.
  const double distance = 1e-6 * (problem_.t1 - problem_.t0);
  return !(system_.steepness(pole - distance, x) * std::abs(distance) < 0.1);
}

bool LaneBlock::finite(const double* state, std::size_t lane) const noexcept {
  return std::all_of(segments_.begin(), segments_.end(), [&](const Segment& s) {
    return kernel().all_finite(state + s.offset + lane * s.width, s.width);
  });
}

void LaneBlock::end(std::size_t lane, FlowStatus status, double t, double steps, double rejected,
                    double evaluations) noexcept {
  const FlowView& out = problem_.out;
  const std::size_t point = point_[lane], last = --active_;
  for (const Segment& s : segments_) {
    std::copy_n(x_ + s.offset + lane * s.width, s.width,
                (s.offset == 0 ? out.x : out.carried).data() + point * s.width);
  }
  out.t[point] = t;
  out.status[point] = status;
  out.steps[point] = static_cast<std::int32_t>(steps);
  out.rejected[point] = static_cast<std::int32_t>(rejected);
  out.evaluations[point] = static_cast<std::int32_t>(evaluations);
  if (lane == last) return;
  point_[lane] = point_[last];
  next_eval_[lane] = next_eval_[last];
  copy_lane(x_, last, x_, lane);
  copy_lane(k_[0], last, k_[0], lane);
}

// ---------------------------------------------------------------------------------- fixed steps

bool FixedLanes::solve(std::size_t first, std::size_t last, const Poll& poll) noexcept {
  const std::size_t steps = problem_.options.steps, new_rate = problem_.method.stages;
  const double span = problem_.t1 - problem_.t0, h = span / double(steps);
  const auto time = [&](std::size_t k) {
    return k == steps ? problem_.t1 : problem_.t0 + span * (double(k) / double(steps));
  };
  active_ = 0, evaluations_ = 0;
  for (std::size_t point = first; point < last; ++point) begin(active_++, point);

  bool rate_known = false;  // k_[0] is the rate at x_
  for (std::size_t k = 0; k < steps && active_ > 0; ++k) {
    const double t = time(k), next = time(k + 1);
    const auto stopped = [&] {
      end_all(FlowStatus::stopped, t, k);
      return false;
    };
    if (poll && !poll()) return stopped();
    if (!stages(t, next, h, rate_known)) return stopped();
    rate_known = false;
    end_collided(t, next, k);
    for (const Segment& s : segments_) {
      if (!kernel().all_finite(y_ + s.offset, active_ * s.width)) end_non_finite(t, k);
    }
    const bool asked = active_ > 0 && due(0, next);  // all lanes share the time
    if (asked || (problem_.dense && active_ > 0)) {
      if (!dense_stages(t, next, h)) return stopped();
      for (std::size_t i = 0; asked && i < active_; ++i) sample(i, t, next - t, next);
      for (std::size_t i = 0; problem_.dense && i < active_; ++i) keep(i, t, next - t);
      std::swap(k_[0], k_[new_rate]);
      rate_known = true;
    }
    std::swap(x_, y_);
  }
  end_all(FlowStatus::ok, problem_.t1, steps);
  return true;
}

bool FixedLanes::stages(double t, double next, double h, bool first_known) noexcept {
  const Tableau& m = problem_.method;
  for (std::size_t j = first_known ? 1 : 0; j < m.stages; ++j) {
    if (j > 0) advance(h, m.a[j], scratch_);
    if (!rates(m.c[j] == 1 ? next : t + m.c[j] * h, j > 0 ? scratch_ : x_, k_[j])) return false;
    ++evaluations_;
  }
  advance(h, m.a[m.stages], y_);
  return true;
}

// The rate at the new point and the stages that only dense output needs.
bool FixedLanes::dense_stages(double t, double next, double h) noexcept {
  const Tableau& m = problem_.method;
  for (std::size_t j = m.stages; j < m.rates(); ++j) {
    if (j > m.stages) advance(h, m.a[j], scratch_);
    if (!rates(j == m.stages ? next : t + m.c[j] * h, j > m.stages ? scratch_ : y_, k_[j])) {
      return false;
    }
    ++evaluations_;
  }
  return true;
}

void FixedLanes::end_non_finite(double t, std::size_t step) noexcept {
  for (std::size_t i = active_; i-- > 0;) {
    if (!finite(y_, i)) end_before(i, FlowStatus::non_finite, t, step);
  }
}

// A step over a pole is not to be trusted for those that meet there: straight on, to first order.
void FixedLanes::end_collided(double t, double next, std::size_t step) noexcept {
  for (const double pole : problem_.options.poles) {
    const bool within = next > t ? pole > t && pole <= next : pole < t && pole >= next;
    if (!within || pole == problem_.t1) continue;
    for (std::size_t i = active_; i-- > 0;) {
      for (std::size_t d = 0; d < dim_; ++d) {
        const std::size_t k = i * dim_ + d;
        scratch_[d] = x_[k] + (pole - t) * k_[0][k];
      }
      if (collides(pole, scratch_)) end_before(i, FlowStatus::collision, t, step);
    }
  }
}

// Ends a lane at the beginning of its step.
void FixedLanes::end_before(std::size_t lane, FlowStatus status, double t,
                            std::size_t step) noexcept {
  copy_lane(y_, active_ - 1, y_, lane);
  for (std::size_t j = 1; j < problem_.method.stages; ++j) {
    copy_lane(k_[j], active_ - 1, k_[j], lane);
  }
  end(lane, status, t, double(step), 0, double(evaluations_));
}

void FixedLanes::end_all(FlowStatus status, double t, std::size_t steps) noexcept {
  while (active_ > 0) end(active_ - 1, status, t, double(steps), 0, double(evaluations_));
}

}  // namespace recouple
