#include "recouple/flow.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "lanes.hpp"

namespace recouple {
namespace {

void check(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

void validate(const AnyField& field, std::span<const double> x, double t0, double t1,
              std::span<const double> t_eval, const FlowOptions& o, const FlowView& out) {
  const std::size_t d = field.dim(), n = d > 0 ? x.size() / d : 0;
  check(d > 0 && x.size() == n * d, "x must hold points of dimension " + std::to_string(d) +
                                        ", got " + std::to_string(x.size()) + " numbers");
  check(std::isfinite(t0) && std::isfinite(t1),
        "t0 and t1 must be finite, got " + std::to_string(t0) + " and " + std::to_string(t1));
  check(out.x.size() == x.size() && out.t.size() == n && out.status.size() == n &&
            out.steps.size() == n && out.rejected.size() == n && out.evaluations.size() == n &&
            out.x_eval.size() == t_eval.size() * x.size(),
        "out must have room for each point and each time of t_eval");
  if (adaptive(o.method)) {
    check(std::isfinite(o.rtol) && o.rtol > 0,
          "rtol must be positive, got " + std::to_string(o.rtol));
    check(std::isfinite(o.atol) && o.atol >= 0,
          "atol must not be negative, got " + std::to_string(o.atol));
    check(o.max_steps >= 1, "max_steps must be at least 1, got 0");
  } else {
    check(o.steps >= 1, "steps must be at least 1, got 0");
  }
  double before = t0;
  for (const double t : t_eval) {
    const bool in_order = t1 >= t0 ? t >= before && t <= t1 : t <= before && t >= t1;
    check(in_order,
          "t_eval must go from t0 towards t1 without turning back or leaving [t0, t1], got " +
              std::to_string(t) + " after " + std::to_string(before));
    before = t;
  }
}

// Points are cut into pieces by their number alone: as many as a block holds, or fewer so that
// there are enough pieces for the threads. Each worker takes the next piece until none is left, or,
// when somebody watches, until it is time to report.
template <class Solver>
void solve(const Problem& p, std::size_t piece, std::size_t capacity, int threads) {
  using Clock = std::chrono::steady_clock;
  const std::size_t n = p.size(), pieces = (n + piece - 1) / piece;
  const bool watched = bool(p.options.progress);
  std::atomic<std::size_t> next = 0, done = 0;
  std::atomic<bool> go = true;
  const auto report = [&] { return p.options.progress(done.load(), n); };
  const Poll poll = watched && threads == 1 ? Poll(report) : Poll();

  std::vector<Solver> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back(p, capacity);
  while (go && done < n) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(50);
    parallel_for(workers.size(), threads, [&](std::size_t w) noexcept {
      while (go) {
        const std::size_t i = next.fetch_add(1);
        if (i >= pieces) return;
        const std::size_t first = i * piece, last = std::min(n, first + piece);
        if (!workers[w].solve(first, last, poll)) go = false;
        done += last - first;
        if (watched && Clock::now() > deadline) return;
      }
    });
    if (watched && go && !report()) go = false;
  }
}

}  // namespace

bool adaptive(Method method) noexcept {
  return tableau(method).adaptive();
}

std::string_view name(Method method) noexcept {
  switch (method) {
    case Method::euler:
      return "euler";
    case Method::midpoint:
      return "midpoint";
    case Method::heun:
      return "heun";
    case Method::rk4:
      return "rk4";
    case Method::bosh3:
      return "bosh3";
    case Method::dopri5:
      return "dopri5";
    case Method::tsit5:
      return "tsit5";
    case Method::dop853:
      return "dop853";
  }
  return "";
}

bool Flow::ok() const noexcept {
  return std::all_of(status.begin(), status.end(),
                     [](FlowStatus s) { return s == FlowStatus::ok; });
}

void integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               std::span<const double> t_eval, const FlowOptions& options, const FlowView& out) {
  validate(field, x, t0, t1, t_eval, options, out);
  const Problem problem{field, tableau(options.method), x, t0, t1, t_eval, options, out};
  const std::size_t n = problem.size(), d = problem.dim();

  std::copy(x.begin(), x.end(), out.x.begin());
  std::fill(out.t.begin(), out.t.end(), t0);
  std::fill(out.status.begin(), out.status.end(), t0 == t1 ? FlowStatus::ok : FlowStatus::stopped);
  for (const auto counts : {out.steps, out.rejected, out.evaluations}) {
    std::fill(counts.begin(), counts.end(), 0);
  }
  std::fill(out.x_eval.begin(), out.x_eval.end(), std::numeric_limits<double>::quiet_NaN());
  if (t0 == t1) {
    for (std::size_t j = 0; j < t_eval.size(); ++j) {
      std::copy(x.begin(), x.end(), out.x_eval.begin() + std::ptrdiff_t(j * x.size()));
    }
  }
  if (n == 0 || t0 == t1) return;

  // A block's working set, some ten arrays, should stay in the first two levels of cache.
  const bool fixed = !adaptive(options.method);
  const std::size_t block = std::clamp<std::size_t>((fixed ? 512 : 256) / d, 8, 256);
  const std::size_t longest = fixed ? block : 8 * block;
  std::size_t pieces = (n + longest - 1) / longest;
  if (pieces < 16) pieces = std::min<std::size_t>(16, (n + 63) / 64);
  const std::size_t piece = field.foreign() ? n : ((n + pieces - 1) / pieces + 7) / 8 * 8;
  const std::size_t capacity = field.foreign() ? n : std::min({piece, fixed ? piece : block, n});
  const double evaluations = double(problem.method.stages) * (fixed ? double(options.steps) : 20);
  const double work = double(n) * evaluations * (field.cost_ns() + double(d) * 2);
  const int threads = field.foreign() ? 1 : threads_for(work, options.threads);
  if (fixed) {
    solve<FixedLanes>(problem, piece, capacity, threads);
  } else {
    solve<AdaptiveLanes>(problem, piece, capacity, threads);
  }
}

Flow integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               const FlowOptions& options, std::span<const double> t_eval) {
  const std::size_t n = x.size() / std::max<std::size_t>(1, field.dim());
  Flow flow{std::vector<double>(x.size()),
            std::vector<double>(n),
            std::vector<FlowStatus>(n),
            std::vector<std::int32_t>(n),
            std::vector<std::int32_t>(n),
            std::vector<std::int32_t>(n),
            std::vector<double>(x.size() * t_eval.size())};
  integrate(
      field, x, t0, t1, t_eval, options,
      {flow.x, flow.t, flow.status, flow.steps, flow.rejected, flow.evaluations, flow.x_eval});
  return flow;
}

}  // namespace recouple
