// Trajectories in lanes: the two ways a block of points moves forward.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "recouple/flow.hpp"
#include "tableau.hpp"

namespace recouple {

struct Problem {
  const AnyField& field;
  const Tableau& method;
  std::span<const double> x0;
  double t0, t1;
  std::span<const double> t_eval;
  const FlowOptions& options;
  const FlowView& out;

  std::size_t dim() const noexcept { return field.dim(); }
  std::size_t size() const noexcept { return out.status.size(); }
};

// Called between steps; false asks to stop. May be empty.
using Poll = std::function<bool()>;

// What both solvers hold of up to `capacity` trajectories. Lane i works on point `point_[i]`; lanes
// [0, active_) are at work, and one that ends gives its place to the last.
class LaneBlock {
 protected:
  LaneBlock(const Problem& problem, std::size_t capacity);

  bool rates(double t, const double* x, double* k) noexcept;
  bool rates(const double* t, std::size_t first, std::size_t count, const double* x,
             double* k) noexcept;
  // Writes down where a lane's trajectory ended and gives its place to the last lane.
  void end(std::size_t lane, FlowStatus status, double t, double steps, double rejected,
           double evaluations) noexcept;
  // Whether t_eval asks for a point of this lane up to time t.
  bool due(std::size_t lane, double t) const noexcept;
  // Writes the points that t_eval asks for between x_ at time `start` and y_ at `start + h` =
  // `stop`.
  void sample(std::size_t lane, double start, double h, double stop) noexcept;
  void begin(std::size_t lane, std::size_t point) noexcept;

  const Problem& problem_;
  std::size_t dim_, active_ = 0;
  std::vector<std::size_t> point_, next_eval_;
  double *x_, *y_, *scratch_;  // points before and after the step, and at a stage
  std::vector<double*> k_;     // stages

 private:
  std::vector<double> memory_, weights_;
};

// Equal steps, one time for all lanes.
class FixedLanes : LaneBlock {
 public:
  FixedLanes(const Problem& problem, std::size_t capacity) : LaneBlock(problem, capacity) {}
  // Solves for points [first, last), no more than `capacity`. False if stopped.
  bool solve(std::size_t first, std::size_t last, const Poll& poll) noexcept;

 private:
  void end_all(FlowStatus status, double t, std::size_t steps) noexcept;
  std::size_t evaluations_ = 0;
};

// Each lane its own time and step; lanes that end are refilled from the points still waiting.
class AdaptiveLanes : LaneBlock {
 public:
  AdaptiveLanes(const Problem& problem, std::size_t capacity);
  // Solves for points [first, last), any number. False if stopped.
  bool solve(std::size_t first, std::size_t last, const Poll& poll) noexcept;

 private:
  bool load(std::size_t first, std::size_t count) noexcept;
  void choose_first_step(std::size_t lane, const double* probe) noexcept;
  bool step() noexcept;
  void squared_errors() noexcept;
  bool sample_accepted(const std::vector<double*>& k) noexcept;
  void take_accepted(std::size_t accepted) noexcept;
  void retire(std::size_t lane, FlowStatus status) noexcept;
  FlowStatus why_stuck(std::size_t lane) const noexcept;
  const double* spread(const double* per_lane) noexcept;

  std::size_t capacity_;
  Controller controller_;
  Lanes lanes_;
  double *times_, *started_, *used_, *error2_, *dense_evaluations_;
  std::vector<double> lane_memory_, wide_;
};

}  // namespace recouple
