#include "kernels/wasserstein.hpp"

#include <cstdint>

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

struct Identity {
  static double of(double d) noexcept { return d; }
};
struct Square {
  static double of(double d) noexcept { return d * d; }
};
// The scale is the greatest difference that has mass; no power of a greater one may reach the sum.
inline double relative(double d, double scale) noexcept {
  return d < scale ? d / scale : 1;
}

struct Whole {
  unsigned p;
  double scale;
  double of(double d) const noexcept {
    double base = relative(d, scale), product = 1;
    for (unsigned e = p; e != 0; e >>= 1) {
      product = (e & 1) != 0 ? product * base : product;
      base *= base;
    }
    return product;
  }
};
struct Any {
  double p, scale;
  double of(double d) const noexcept { return vec_exp(p * vec_log(relative(d, scale))); }
};

// How the pairs of a merge are gathered into one number.
template <class F>
struct SumOf {
  F f;
  double operator()(double sum, double mass, double d) const noexcept {
    return sum + mass * f.of(d);
  }
  static double join(double a, double b) noexcept { return a + b; }
};
struct Greatest {
  double operator()(double most, double mass, double d) const noexcept {
    return join(most, mass > 0 ? d : 0);
  }
  static double join(double a, double b) noexcept { return a > b ? a : b; }
};

// Call run with the gatherer that a power stands for.
template <class Run>
double with(Power power, Run run) noexcept {
  switch (power.kind) {
    case Power::one:
      return run(SumOf<Identity>{});
    case Power::two:
      return run(SumOf<Square>{});
    case Power::whole:
      return run(SumOf<Whole>{{static_cast<unsigned>(power.p), power.scale}});
    case Power::greatest:
      return run(Greatest{});
    default:
      return run(SumOf<Any>{{power.p, power.scale}});
  }
}

inline double distance(double x, double y) noexcept {
  return __builtin_fabs(x - y);
}

template <class T>
void weigh(const T* w, std::size_t n, double& least, double& sum) noexcept {
  constexpr std::size_t lanes = 16;
  double low[lanes], part[lanes] = {};
  for (double& x : low) x = static_cast<double>(w[0]);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      const double x = static_cast<double>(w[i + l]);
      low[l] = x < low[l] ? x : low[l];
      part[l] += x;
    }
  }
  for (; i < n; ++i) {
    const double x = static_cast<double>(w[i]);
    low[0] = x < low[0] ? x : low[0];
    part[0] += x;
  }
  for (std::size_t l = 1; l < lanes; ++l) {
    low[0] = low[l] < low[0] ? low[l] : low[0];
    part[0] += part[l];
  }
  least = low[0];
  sum = part[0];
}

// Running sums side by side let the compiler keep several vectors in flight.
template <class T, class F>
double equal(const T* x, const T* y, std::size_t n, F gather) noexcept {
  constexpr std::size_t lanes = 32;
  double part[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      part[l] = gather(part[l], 1.0,
                       distance(static_cast<double>(x[i + l]), static_cast<double>(y[i + l])));
    }
  }
  for (std::size_t l = 0; i < n; ++i, ++l) {
    part[l] = gather(part[l], 1.0, distance(static_cast<double>(x[i]), static_cast<double>(y[i])));
  }
  for (std::size_t width = lanes / 2; width > 0; width /= 2) {
    for (std::size_t l = 0; l < width; ++l) part[l] = gather.join(part[l], part[l + width]);
  }
  return part[0];
}

template <class T>
double equal(const T* x, const T* y, std::size_t n, Power power) noexcept {
  return with(power, [&](auto gather) noexcept { return equal(x, y, n, gather); });
}

// Levels by weight and by count: the level before a pair, and the next ones on either side.
struct ByWeight {
  const double *cu, *cv;
  double tolerance;
  double passed(std::size_t i, std::size_t j) const noexcept {
    const double a = i > 0 ? cu[i - 1] : 0, b = j > 0 ? cv[j - 1] : 0;
    return a > b ? a : b;
  }
  double left(std::size_t i) const noexcept { return cu[i]; }
  double right(std::size_t j) const noexcept { return cv[j]; }
  double mass(double from, double to) const noexcept {
    return to - from > tolerance ? to - from : 0;
  }
};
struct ByCount {
  std::uint64_t n, m;
  std::uint64_t passed(std::size_t i, std::size_t j) const noexcept {
    return i * m > j * n ? i * m : j * n;
  }
  std::uint64_t left(std::size_t i) const noexcept { return (i + 1) * m; }
  std::uint64_t right(std::size_t j) const noexcept { return (j + 1) * n; }
  double mass(std::uint64_t from, std::uint64_t to) const noexcept {
    return static_cast<double>(static_cast<std::int64_t>(to - from));
  }
};

// Each step passes the nearer of the two next levels and moves on its side, without a branch: which
// it will be cannot be foreseen.
template <class T, class Levels, class F>
double merge(const T* x, const T* y, const MergeStarts& starts, std::size_t steps, Levels levels,
             F gather) noexcept {
  std::size_t i[merge_lanes], j[merge_lanes];
  decltype(levels.passed(0, 0)) passed[merge_lanes];
  double sum[merge_lanes] = {};
  for (std::size_t l = 0; l < merge_lanes; ++l) {
    i[l] = starts.i[l];
    j[l] = starts.j[l];
    passed[l] = levels.passed(i[l], j[l]);
  }
  const auto step = [&](std::size_t lanes) noexcept {
    for (std::size_t l = 0; l < lanes; ++l) {
      const auto a = levels.left(i[l]), b = levels.right(j[l]);
      const auto level = a <= b ? a : b;
      const double d = distance(static_cast<double>(x[i[l]]), static_cast<double>(y[j[l]]));
      sum[l] = gather(sum[l], levels.mass(passed[l], level), d);
      passed[l] = level;
      i[l] += a <= b ? 1 : 0;
      j[l] += a <= b ? 0 : 1;
    }
  };
  for (std::size_t s = 0; s < steps / merge_lanes; ++s) step(merge_lanes);
  step(steps % merge_lanes);
  for (std::size_t l = 1; l < merge_lanes; ++l) sum[0] = gather.join(sum[0], sum[l]);
  return sum[0];
}

template <class T>
double weighted(const T* x, const double* cu, const T* y, const double* cv,
                const MergeStarts& starts, std::size_t steps, double tolerance,
                Power power) noexcept {
  return with(power, [&](auto gather) noexcept {
    return merge(x, y, starts, steps, ByWeight{cu, cv, tolerance}, gather);
  });
}

template <class T>
double uniform(const T* x, std::size_t n, const T* y, std::size_t m, const MergeStarts& starts,
               std::size_t steps, Power power) noexcept {
  return with(power, [&](auto gather) noexcept {
    return merge(x, y, starts, steps, ByCount{n, m}, gather);
  });
}

template <class T>
constexpr WassersteinKernelsOf<T> table_of{&weigh<T>, &equal<T>, &weighted<T>, &uniform<T>};

}  // namespace

template <>
const WassersteinKernels& WassersteinKernels::at<level_of_this_file>() noexcept {
  static constexpr WassersteinKernels table{table_of<double>, table_of<float>};
  return table;
}

}  // namespace recouple
