#include "kernels/flow.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

// The number of terms is a template argument so that the sum unrolls and the loop over elements
// keeps all weights in registers.
template <std::size_t N, class Out>
void combine(const Terms& terms, std::size_t n, Out out) noexcept {
  const double* k[N];
  double w[N];
  for (std::size_t j = 0; j < N; ++j) k[j] = terms.rate[j], w[j] = terms.weight[j];
#pragma GCC ivdep
  for (std::size_t i = 0; i < n; ++i) {
    double sum = w[0] * k[0][i];
    for (std::size_t j = 1; j < N; ++j) sum += w[j] * k[j][i];
    out(i, sum);
  }
}

template <class Out>
void dispatch(const Terms& terms, std::size_t n, Out out) noexcept {
  switch (terms.size) {
    case 1:
      return combine<1>(terms, n, out);
    case 2:
      return combine<2>(terms, n, out);
    case 3:
      return combine<3>(terms, n, out);
    case 4:
      return combine<4>(terms, n, out);
    case 5:
      return combine<5>(terms, n, out);
    case 6:
      return combine<6>(terms, n, out);
    case 7:
      return combine<7>(terms, n, out);
    case 8:
      return combine<8>(terms, n, out);
    case 9:
      return combine<9>(terms, n, out);
    case 10:
      return combine<10>(terms, n, out);
    case 11:
      return combine<11>(terms, n, out);
    default:
      return combine<12>(terms, n, out);
  }
}

void advance(double h, const double* x, const Terms& terms, double* y, std::size_t n) noexcept {
  dispatch(terms, n, [=](std::size_t i, double sum) noexcept { y[i] = x[i] + h * sum; });
}

void advance_each(const double* h, const double* x, const Terms& terms, double* y,
                  std::size_t n) noexcept {
  dispatch(terms, n, [=](std::size_t i, double sum) noexcept { y[i] = x[i] + h[i] * sum; });
}

void scaled_error(const double* h, const Terms& terms, const double* x, const double* y,
                  double atol, double rtol, double* e, std::size_t n) noexcept {
  dispatch(terms, n, [=](std::size_t i, double sum) noexcept {
    const double from = __builtin_fabs(x[i]), to = __builtin_fabs(y[i]);
    const double ratio = h[i] * sum / (atol + rtol * (from > to ? from : to));
    e[i] = ratio * ratio;
  });
}

void stage_times(const double* t, const double* h, double c, double* times,
                 std::size_t n) noexcept {
#pragma GCC ivdep
  for (std::size_t i = 0; i < n; ++i) times[i] = t[i] + c * h[i];
}

// log2(x) to 1e-8 for normal positive x, enough to choose a step by.
inline double rough_log2(double x) noexcept {
  const auto bits = __builtin_bit_cast(std::uint64_t, x);
  constexpr std::uint64_t shift =
      0x4330000000000000;  // 2^52: integers below it sit in the mantissa
  double e = __builtin_bit_cast(double, (bits >> 52) | shift) - (4503599627370496.0 + 1022);
  double m = __builtin_bit_cast(double, (bits & 0x000fffffffffffff) | 0x3fe0000000000000);
  const bool low = m < 0.70710678118654752440;
  m = low ? 2 * m : m;
  e = low ? e - 1 : e;
  const double s = (m - 1) / (m + 1), q = s * s;
  constexpr double scale = 2.8853900817779268147;  // 2 / log(2)
  return e + scale * s * (1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9)))));
}

ControlSummary control(const Controller& c, const double* error2, const Lanes& lanes,
                       std::size_t n) noexcept {
  constexpr double log_safety = -0.15200309344504997;  // log2(0.9)
  constexpr double log_luck = 3.3219280948873623;      // log2(10)
  constexpr double nothing = -1000;
  constexpr double shrink = 0.2, growth = 10, ln2 = 0.69314718055994530942;
  double *t = lanes.t, *h = lanes.h, *target = lanes.target, *expected = lanes.expected,
         *cap = lanes.growth;
  double *steps = lanes.steps, *rejected = lanes.rejected;
  double *accepted = lanes.accepted, *event = lanes.event;
  const double alpha = 1 / c.order;
  std::uint64_t accepts = 0, events = 0;  // integers, because their sums vectorise
#pragma GCC ivdep
  for (std::size_t i = 0; i < n; ++i) {
    const double e2 = error2[i];
    const bool finite = e2 < 1e300, good = e2 <= 1;
    double bounded = finite ? e2 : 1e300;
    bounded = bounded > 1e-30 ? bounded : 1e-30;
    const double seen = 0.5 * rough_log2(bounded), least = expected[i] - log_luck;
    const double log_e = seen > least ? seen : least;
    double factor = vec_exp(ln2 * (log_safety - alpha * log_e));
    factor = factor > shrink ? factor : shrink;
    factor = factor < cap[i] ? factor : cap[i];
    factor = finite ? factor : 0.1;
    const double left = target[i] - t[i];
    const bool last = h[i] == left;
    const double there = last ? target[i] : t[i] + h[i];
    const double now = good ? there : t[i];
    const double wanted = h[i] * factor;
    const double rest = target[i] - now;
    const double size = __builtin_fabs(wanted), room = __builtin_fabs(rest);
    // The last two steps share what is left, so that no sliver remains.
    const double within = size >= room ? rest : (2 * size > room ? 0.5 * rest : wanted);
    const double next = good && last ? wanted : within;
    const double ratio = next / h[i];
    expected[i] = finite ? log_e + c.order * rough_log2(ratio > 1e-300 ? ratio : 1) : nothing;
    cap[i] = good ? growth : 1;
    t[i] = now;
    h[i] = next;
    const double taken = steps[i] + (good ? 1.0 : 0.0), refused = rejected[i] + (good ? 0.0 : 1.0);
    steps[i] = taken;
    rejected[i] = refused;
    accepted[i] = good ? 1.0 : 0.0;
    double what = taken + refused >= c.max_steps ? lane_event::too_many : lane_event::none;
    what = size < c.h_min ? lane_event::too_small : what;
    what = good && last ? lane_event::arrived : what;
    event[i] = what;
    accepts += good ? 1 : 0;
    events += what != lane_event::none ? 1 : 0;
  }
  return {accepts, events};
}

void choose(const double* chosen, const double* y, double* x, std::size_t n) noexcept {
#pragma GCC ivdep
  for (std::size_t i = 0; i < n; ++i) x[i] = chosen[i] != 0 ? y[i] : x[i];
}

bool all_finite(const double* x, std::size_t n) noexcept {
  std::uint64_t bad = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto magnitude = __builtin_bit_cast(std::uint64_t, x[i]) & 0x7fffffffffffffff;
    bad |= magnitude + 0x0010000000000000;  // the sign bit comes out set for inf and NaN alone
  }
  return (bad >> 63) == 0;
}

}  // namespace

template <>
const FlowKernels& FlowKernels::at<level_of_this_file>() noexcept {
  static constexpr FlowKernels table{
      &recouple::advance, &recouple::advance_each, &recouple::scaled_error, &recouple::stage_times,
      &recouple::control, &recouple::choose,       &recouple::all_finite};
  return table;
}

}  // namespace recouple
