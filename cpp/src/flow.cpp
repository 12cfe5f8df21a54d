#include "recouple/flow.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "flow_lanes.hpp"

namespace recouple {
namespace {

// The message is put together only when it is needed.
template <class Message>
void check(bool holds, Message&& message) {
  if (!holds) throw std::invalid_argument(message());
}

void validate(const AnyField& field, std::span<const double> x, double t0, double t1,
              std::span<const double> t_eval, const FlowOptions& o, const FlowView& out) {
  const std::size_t d = field.dim(), n = d > 0 ? x.size() / d : 0;
  check(d > 0 && x.size() == n * d, [&] {
    return "x must hold points of dimension " + std::to_string(d) + ", got " +
           std::to_string(x.size()) + " numbers";
  });
  check(std::isfinite(t0) && std::isfinite(t1), [&] {
    return "t0 and t1 must be finite, got " + std::to_string(t0) + " and " + std::to_string(t1);
  });
  const std::size_t carried = n * carried_width(o.carried, d);
  check(out.x.size() == x.size() && out.carried.size() == carried && out.t.size() == n &&
            out.status.size() == n && out.steps.size() == n && out.rejected.size() == n &&
            out.evaluations.size() == n && out.x_eval.size() == t_eval.size() * x.size() &&
            out.carried_eval.size() == t_eval.size() * carried,
        [&] { return std::string("out must have room for each point and each time of t_eval"); });
  check(std::isfinite(o.differences.step) && o.differences.step > 0, [&] {
    return "differences.step must be positive, got " + std::to_string(o.differences.step);
  });
  if (o.steps == 0) {
    check(adaptive(o.method), [&] {
      return "steps must be at least 1 for " + std::string(name(o.method)) + ", got 0";
    });
    check(std::isfinite(o.rtol) && o.rtol > 0,
          [&] { return "rtol must be positive, got " + std::to_string(o.rtol); });
    check(std::isfinite(o.atol) && o.atol >= 0,
          [&] { return "atol must not be negative, got " + std::to_string(o.atol); });
    check(std::all_of(o.poles.begin(), o.poles.end(), [](double t) { return std::isfinite(t); }),
          [&] { return std::string("poles must be finite"); });
    check(o.max_steps >= 1, [&] { return std::string("max_steps must be at least 1, got 0"); });
  }
  double before = t0;
  for (const double t : t_eval) {
    const bool in_order = t1 >= t0 ? t >= before && t <= t1 : t <= before && t >= t1;
    check(in_order, [&] {
      return "t_eval must go from t0 towards t1 without turning back or leaving [t0, t1], got " +
             std::to_string(t) + " after " + std::to_string(before);
    });
    before = t;
  }
}

// Puts the steps that the workers recorded in the order of the points.
template <class Solver>
void assemble(const std::vector<Solver>& workers, std::size_t n, DenseFlow& dense) {
  const std::size_t row = (dense.degree + 1) * dense.dim;
  dense.first.assign(n + 1, 0);
  for (const Solver& worker : workers) {
    for (const std::size_t point : worker.record().point) ++dense.first[point + 1];
  }
  for (std::size_t i = 0; i < n; ++i) dense.first[i + 1] += dense.first[i];
  dense.start.resize(dense.first[n]);
  dense.h.resize(dense.first[n]);
  dense.coefficients.resize(dense.first[n] * row);
  std::vector<std::size_t> next(dense.first.begin(), dense.first.end() - 1);
  for (const Solver& worker : workers) {
    const StepRecord& record = worker.record();
    for (std::size_t k = 0; k < record.point.size(); ++k) {
      const std::size_t to = next[record.point[k]]++;
      dense.start[to] = record.start[k];
      dense.h[to] = record.h[k];
      std::copy_n(record.coefficients.begin() + std::ptrdiff_t(k * row), row,
                  dense.coefficients.begin() + std::ptrdiff_t(to * row));
    }
  }
}

// Points are cut into pieces by their number alone: as many as a block holds, or fewer so that
// there are enough pieces for the threads. Each worker takes the next piece until none is left, or,
// when somebody watches, until it is time to report.
template <class Solver>
void solve(const Problem& p, std::size_t piece, std::size_t capacity, int threads,
           DenseFlow* dense) {
  using Clock = std::chrono::steady_clock;
  const std::size_t n = p.size(), pieces = (n + piece - 1) / piece;
  const bool watched = bool(p.options.progress);
  std::atomic<std::size_t> next = 0, done = 0;
  std::atomic<bool> go = true;
  const auto report = [&] { return p.options.progress(done.load(), n); };
  const Poll poll = watched && threads == 1 ? Poll(report) : Poll();

  std::vector<Solver> workers;
  workers.reserve(static_cast<std::size_t>(threads));
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
  if (dense != nullptr) assemble(workers, n, *dense);
}

void run(const AnyField& field, std::span<const double> x, double t0, double t1,
         std::span<const double> t_eval, const FlowOptions& options, const FlowView& out,
         DenseFlow* dense, bool check_order);

Flow allocated(std::size_t n, std::size_t dim, std::size_t width, std::size_t times) {
  Flow flow;
  flow.x.resize(n * dim);
  flow.carried.resize(n * width);
  flow.t.resize(n);
  flow.status.resize(n);
  for (auto* counts : {&flow.steps, &flow.rejected, &flow.evaluations}) counts->resize(n);
  flow.x_eval.resize(n * dim * times);
  flow.carried_eval.resize(n * width * times);
  return flow;
}

// Takes the pieces of point i from row source[i] of `better`, or leaves its own where that is n.
void splice(DenseFlow& dense, const DenseFlow& better, std::span<const std::size_t> source) {
  const std::size_t n = source.size(), row = (dense.degree + 1) * dense.dim;
  DenseFlow out{dense.dim, dense.degree, dense.t0, dense.t1, {0}, {}, {}, {}};
  for (std::size_t i = 0; i < n; ++i) {
    const bool own = source[i] == n;
    const DenseFlow& from = own ? dense : better;
    const std::size_t k = own ? i : source[i];
    const auto first = std::ptrdiff_t(from.first[k]), last = std::ptrdiff_t(from.first[k + 1]);
    out.start.insert(out.start.end(), from.start.begin() + first, from.start.begin() + last);
    out.h.insert(out.h.end(), from.h.begin() + first, from.h.begin() + last);
    out.coefficients.insert(out.coefficients.end(),
                            from.coefficients.begin() + first * std::ptrdiff_t(row),
                            from.coefficients.begin() + last * std::ptrdiff_t(row));
    out.first.push_back(out.start.size());
  }
  dense = std::move(out);
}

// With adaptive steps on the line the order of the points tells whether the errors stayed as small
// as they were estimated: a step may leap over a point where trajectories meet, a pole of the field
// that none of its stages happens to see. A flow that stretches a lot may also carry honest errors
// beyond the slack, so those that overtook are followed again with a hundredth of the tolerance:
// what overtakes again has collided, and for the others the better values stand.
void mark_crossed(const Problem& p, DenseFlow* dense) {
  const std::size_t n = p.size();
  std::vector<double> slack(n), x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const bool ok = p.out.status[i] == FlowStatus::ok;
    x[i] = ok ? p.out.x[i] : std::numeric_limits<double>::quiet_NaN();
    slack[i] = 100 * (p.options.atol + p.options.rtol * std::abs(p.out.x[i]));
  }
  auto crossed = std::make_unique<bool[]>(n);
  if (find_crossings(p.x0, x, slack, {crossed.get(), n}) == 0) return;

  std::vector<std::size_t> which;
  std::vector<double> from, room;
  for (std::size_t i = 0; i < n; ++i) {
    if (crossed[i]) which.push_back(i), from.push_back(p.x0[i]), room.push_back(slack[i]);
  }
  FlowOptions closer = p.options;
  closer.rtol = std::min(p.options.rtol, std::max(1e-13, 0.01 * p.options.rtol));
  closer.atol *= 0.01;
  if (p.options.progress) {
    closer.progress = [&](std::size_t, std::size_t) { return p.options.progress(n, n); };
  }
  const std::size_t m = which.size(), width = p.out.carried.size() / n;
  Flow again = allocated(m, 1, width, p.t_eval.size());
  DenseFlow pieces;
  run(p.field, from, p.t0, p.t1, p.t_eval, closer, again.view(), dense ? &pieces : nullptr, false);
  const auto failed = [&](std::size_t k) { return again.status[k] != FlowStatus::ok; };
  for (std::size_t k = 0; k < m; ++k) {
    if (failed(k)) again.x[k] = std::numeric_limits<double>::quiet_NaN();
  }
  find_crossings(from, again.x, room, {crossed.get(), m});
  std::vector<std::size_t> source(n, n);  // of each point's pieces: its row in `pieces`, or n
  for (std::size_t k = 0; k < m; ++k) {
    const std::size_t i = which[k];
    p.out.steps[i] += again.steps[k];
    p.out.rejected[i] += again.rejected[k];
    p.out.evaluations[i] += again.evaluations[k];
    const bool pole =
        again.status[k] == FlowStatus::step_too_small || again.status[k] == FlowStatus::non_finite;
    if (crossed[k] || pole) {
      p.out.status[i] = FlowStatus::collision;
      continue;
    }
    p.out.status[i] = again.status[k];
    if (failed(k)) continue;
    source[i] = k;
    p.out.x[i] = again.x[k];
    std::copy_n(again.carried.data() + k * width, width, p.out.carried.data() + i * width);
    for (std::size_t j = 0; j < p.t_eval.size(); ++j) {
      p.out.x_eval[j * n + i] = again.x_eval[j * m + k];
      std::copy_n(again.carried_eval.data() + (j * m + k) * width, width,
                  p.out.carried_eval.data() + (j * n + i) * width);
    }
  }
  if (dense != nullptr) splice(*dense, pieces, source);
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

std::size_t carried_width(Carried carried, std::size_t dim) noexcept {
  if (carried == Carried::nothing) return 0;
  return carried == Carried::log_det ? 1 : dim * dim;
}

bool Flow::ok() const noexcept {
  return std::all_of(status.begin(), status.end(),
                     [](FlowStatus s) { return s == FlowStatus::ok; });
}

void integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               std::span<const double> t_eval, const FlowOptions& options, const FlowView& out,
               DenseFlow* dense) {
  run(field, x, t0, t1, t_eval, options, out, dense, true);
}

namespace {

void run(const AnyField& field, std::span<const double> x, double t0, double t1,
         std::span<const double> t_eval, const FlowOptions& options, const FlowView& out,
         DenseFlow* dense, bool check_order) {
  validate(field, x, t0, t1, t_eval, options, out);
  const Tableau& method = tableau(options.method);
  const Problem problem{field, method, x, t0, t1, t_eval, options, out, dense != nullptr};
  const std::size_t n = problem.size(), d = problem.dim();
  const System system(field, options, 0);
  const std::size_t width = system.width();

  std::copy(x.begin(), x.end(), out.x.begin());
  for (std::size_t i = 0; i < n && width > 0; ++i) system.start(&out.carried[i * width]);
  std::fill(out.t.begin(), out.t.end(), t0);
  std::fill(out.status.begin(), out.status.end(), t0 == t1 ? FlowStatus::ok : FlowStatus::stopped);
  for (const auto counts : {out.steps, out.rejected, out.evaluations}) {
    std::fill(counts.begin(), counts.end(), 0);
  }
  for (const auto values : {out.x_eval, out.carried_eval}) {
    std::fill(values.begin(), values.end(), std::numeric_limits<double>::quiet_NaN());
  }
  if (dense != nullptr) {
    *dense = {d, method.polynomial.size(), t0, t1, std::vector<std::size_t>(n + 1, 0), {}, {}, {}};
  }
  if (t0 == t1) {
    if (dense != nullptr) {  // each trajectory is one step that stays where it is
      *dense = {d, 0, t0, t1, {}, std::vector<double>(n, t0), std::vector<double>(n, 1.0), {}};
      for (std::size_t i = 0; i <= n; ++i) dense->first.push_back(i);
      dense->coefficients.assign(x.begin(), x.end());
    }
    for (std::size_t j = 0; j < t_eval.size(); ++j) {
      std::copy(x.begin(), x.end(), out.x_eval.begin() + std::ptrdiff_t(j * x.size()));
      std::copy(out.carried.begin(), out.carried.end(),
                out.carried_eval.begin() + std::ptrdiff_t(j * n * width));
    }
  }
  if (n == 0 || t0 == t1) return;

  // A block's working set, some ten arrays, should stay in the first two levels of cache. Where all
  // share the time, a field's d^3 of work to set it up wants a few times d points to serve.
  const bool fixed = options.steps > 0;
  const std::size_t least = fixed ? std::clamp<std::size_t>(4 * d, 8, 256) : 8;
  const std::size_t block = std::clamp<std::size_t>((fixed ? 512 : 256) / (d + width), least, 256);
  const std::size_t longest = fixed ? block : 8 * block;
  std::size_t pieces = (n + longest - 1) / longest;
  if (pieces < 16) pieces = std::min<std::size_t>(16, (n + 63) / 64);
  std::size_t piece = ((n + pieces - 1) / pieces + 7) / 8 * 8, capacity = std::min(piece, block);
  if (field.foreign()) piece = capacity = n;
  const double evaluations =
      double(method.stages) * (fixed ? double(options.steps) : 20) * (width > 0 ? 2 : 1);
  const double work = double(n) * evaluations * (field.cost_ns() + 2 * double(d + width));
  // On a busy machine a team waits for its last thread to be given a processor, so that a second
  // one has to be worth a lot more than waking it.
  const bool alone = field.foreign() || work < 10 * serial_cutoff_ns;
  const int threads = alone ? 1 : threads_for(work, options.threads);
  if (fixed) {
    solve<FixedLanes>(problem, piece, std::max(capacity, piece), threads, dense);
  } else {
    solve<AdaptiveLanes>(problem, piece, capacity, threads, dense);
    if (d == 1 && check_order) mark_crossed(problem, dense);
  }
}

}  // namespace

Flow integrate(const AnyField& field, std::span<const double> x, double t0, double t1,
               const FlowOptions& options, std::span<const double> t_eval) {
  const std::size_t d = std::max<std::size_t>(1, field.dim());
  Flow flow = allocated(x.size() / d, d, carried_width(options.carried, d), t_eval.size());
  integrate(field, x, t0, t1, t_eval, options, flow.view());
  return flow;
}

void DenseFlow::operator()(std::span<const double> t, std::span<double> x, int threads) const {
  const std::size_t n = first.size() - 1, row = (degree + 1) * dim;
  const bool forward = t1 >= t0;
  check(x.size() == t.size() * n * dim,
        [&] { return std::string("x must have room for each trajectory at each time"); });
  for (const double at : t) {
    check(at >= std::min(t0, t1) && at <= std::max(t0, t1), [&] {
      return "t must lie in [" + std::to_string(std::min(t0, t1)) + ", " +
             std::to_string(std::max(t0, t1)) + "], got " + std::to_string(at);
    });
  }
  constexpr std::size_t block = 256;
  const double work = double(x.size()) * (20 + 2 * double(degree));
  parallel_for((n + block - 1) / block, threads_for(work, threads), [&](std::size_t b) noexcept {
    for (std::size_t i = b * block; i < std::min(n, (b + 1) * block); ++i) {
      const auto begin = start.begin() + std::ptrdiff_t(first[i]);
      const auto end = start.begin() + std::ptrdiff_t(first[i + 1]);
      for (std::size_t j = 0; j < t.size(); ++j) {
        double* to = &x[(j * n + i) * dim];
        const auto after = std::upper_bound(
            begin, end, t[j], [&](double a, double s) { return forward ? a < s : a > s; });
        const auto k = static_cast<std::size_t>(after - start.begin());
        if (after == begin) {
          std::fill_n(to, dim, std::numeric_limits<double>::quiet_NaN());
          continue;
        }
        const double s = (t[j] - start[k - 1]) / h[k - 1];
        const double* c = &coefficients[(k - 1) * row];
        for (std::size_t d = 0; d < dim; ++d) {
          double sum = 0;
          for (std::size_t p = degree + 1; p-- > 0;) sum = sum * s + c[p * dim + d];
          // A little beyond the last step is rounding; further, the trajectory never got there.
          to[d] = s <= 1 + 1e-9 ? sum : std::numeric_limits<double>::quiet_NaN();
        }
      }
    }
  });
}

std::size_t find_crossings(std::span<const double> x0, std::span<const double> x,
                           std::span<const double> slack, std::span<bool> crossed) {
  const std::size_t n = x0.size();
  check(x.size() == n && slack.size() == n && crossed.size() == n,
        [&] { return std::string("x, slack and crossed must have the size of x0"); });
  std::fill(crossed.begin(), crossed.end(), false);
  std::vector<std::pair<double, std::size_t>> order;
  order.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (std::isfinite(x0[i]) && std::isfinite(x[i])) order.emplace_back(x0[i], i);
  }
  if (!std::is_sorted(order.begin(), order.end())) std::sort(order.begin(), order.end());
  // Points that start together keep no order: each is compared with those that start elsewhere.
  const auto sweep = [&](auto from, auto to, double sign) {
    double furthest = -std::numeric_limits<double>::infinity(), pending = furthest;
    for (auto group = from; from != to; ++from) {
      if (from->first != group->first) group = from, furthest = std::max(furthest, pending);
      const std::size_t i = from->second;
      if (sign * x[i] + slack[i] < furthest) crossed[i] = true;
      pending = std::max(pending, sign * x[i] - slack[i]);
    }
  };
  sweep(order.begin(), order.end(), 1.0);
  sweep(order.rbegin(), order.rend(), -1.0);
  return static_cast<std::size_t>(std::count(crossed.begin(), crossed.end(), true));
}

}  // namespace recouple
