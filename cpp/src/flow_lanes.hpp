// Trajectories in lanes: the two ways a block of points moves forward.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "flow_system.hpp"
#include "flow_tableau.hpp"
#include "recouple/flow.hpp"

namespace recouple {

struct Problem {
  const AnyField& field;
  const Tableau& method;
  std::span<const double> x0;
  double t0, t1;
  std::span<const double> t_eval;
  const FlowOptions& options;
  const FlowView& out;
  bool dense;  // keep the steps

  std::size_t dim() const noexcept { return field.dim(); }
  std::size_t size() const noexcept { return out.status.size(); }
};

// Called between steps; false asks to stop. May be empty.
using Poll = std::function<bool()>;

// The steps of a block's trajectories in the order they were taken, as polynomials.
struct StepRecord {
  std::vector<std::size_t> point;
  std::vector<double> start, h, coefficients;
};

// What both solvers hold of up to `capacity` trajectories. Lane i works on point `point_[i]`; lanes
// [0, active_) are at work, and one that ends gives its place to the last. A state is the rows of
// all points followed by the rows of what they carry.
class LaneBlock {
 public:
  const StepRecord& record() const noexcept { return record_; }

 protected:
  struct Segment {
    std::size_t offset, width;
    double atol, rtol;
  };

  LaneBlock(const Problem& problem, std::size_t capacity);

  void begin(std::size_t lane, std::size_t point) noexcept;
  bool rates(double t, const double* state, double* k) noexcept;
  bool rates(const double* t, std::size_t first, std::size_t count, const double* state,
             double* k) noexcept;
  // y_ or scratch_ = x_ + h * (row of the tableau), with one h or each lane's own.
  void advance(double h, const Row& row, double* to) noexcept;
  void advance(const double* h, const Row& row, double* to) noexcept;
  // A lane's value repeated for each number of its row, or the values themselves if that is one.
  const double* spread(const Segment& segment, const double* per_lane) noexcept;

  // Whether t_eval asks for a point of this lane up to time t.
  bool due(std::size_t lane, double t) const noexcept;
  // Writes what t_eval asks for between x_ at time `start` and y_ at `stop` = `start + h`.
  void sample(std::size_t lane, double start, double h, double stop) noexcept;
  void keep(std::size_t lane, double start, double h) noexcept;

  // Writes down where a lane's trajectory ended and gives its place to the last lane.
  void end(std::size_t lane, FlowStatus status, double t, double steps, double rejected,
           double evaluations) noexcept;
  void copy_lane(const double* from, std::size_t from_lane, double* to,
                 std::size_t to_lane) const noexcept;
  // Whether trajectories meet at this pole, for a lane that is at x there.
  bool collides(double pole, const double* x) noexcept;
  bool finite(const double* state, std::size_t lane) const noexcept;

  const Problem& problem_;
  System system_;
  std::size_t dim_, active_ = 0;
  std::vector<Segment> segments_;
  std::vector<std::size_t> point_, next_eval_;
  double *x_, *y_, *scratch_;  // states before and after the step, and at a stage
  std::vector<double*> k_;     // stages

 private:
  std::vector<double> memory_, wide_, weights_;
  StepRecord record_;
};

// Equal steps, one time for all lanes.
class FixedLanes : public LaneBlock {
 public:
  FixedLanes(const Problem& problem, std::size_t capacity) : LaneBlock(problem, capacity) {}
  // Solves for points [first, last), no more than `capacity`. False if stopped.
  bool solve(std::size_t first, std::size_t last, const Poll& poll) noexcept;

 private:
  bool stages(double t, double next, double h, bool first_known) noexcept;
  bool dense_stages(double t, double next, double h) noexcept;
  void end_collided(double t, double next, std::size_t step) noexcept;
  void end_non_finite(double t, std::size_t step) noexcept;
  void end_before(std::size_t lane, FlowStatus status, double t, std::size_t step) noexcept;
  void end_all(FlowStatus status, double t, std::size_t steps) noexcept;
  std::size_t evaluations_ = 0;
};

// Each lane its own time and step; lanes that end are refilled from the points still waiting.
class AdaptiveLanes : public LaneBlock {
 public:
  AdaptiveLanes(const Problem& problem, std::size_t capacity);
  // Solves for points [first, last), any number. False if stopped.
  bool solve(std::size_t first, std::size_t last, const Poll& poll) noexcept;

 private:
  bool load(std::size_t first, std::size_t count) noexcept;
  void choose_first_step(std::size_t lane, const double* probe) noexcept;
  bool step() noexcept;
  void squared_errors() noexcept;
  void squared_error(const Row& row, double* into) noexcept;
  bool sample_accepted() noexcept;
  void take_accepted(std::size_t accepted) noexcept;
  void retire(std::size_t lane, FlowStatus status) noexcept;
  double next_target(double t) const noexcept;
  void arrive(std::size_t lane) noexcept;
  FlowStatus why_stuck(std::size_t lane) const noexcept;

  std::size_t capacity_;
  Controller controller_;
  Lanes lanes_;
  double *times_, *started_, *used_, *error2_, *dense_evaluations_;
  std::vector<double> lane_memory_;
};

}  // namespace recouple
