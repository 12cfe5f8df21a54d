#include "kernels/wasserstein.hpp"

#include <cstdint>

namespace recouple {
namespace {

struct One {
  static double of(double d) noexcept { return d; }
};
struct Two {
  static double of(double d) noexcept { return d * d; }
};
struct Whole {
  unsigned p;
  double scale;
  double of(double d) const noexcept {
    double base = d / scale, product = 1;
    for (unsigned e = p; e != 0; e >>= 1) {
      product = (e & 1) != 0 ? product * base : product;
      base *= base;
    }
    return product;
  }
};
struct Any {
  double p, scale;
  double of(double d) const noexcept { return __builtin_pow(d / scale, p); }
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
  double operator()(double most, double, double d) const noexcept { return join(most, d); }
  static double join(double a, double b) noexcept { return a > b ? a : b; }
};

// Call run with the gatherer that a power stands for.
template <class Run>
double with(Power power, Run run) noexcept {
  switch (power.kind) {
    case Power::one:
      return run(SumOf<One>{});
    case Power::two:
      return run(SumOf<Two>{});
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

// What comes next on either side of a merge: whether the left and the right side move, and the
// level that is passed then.
template <class Level>
struct Next {
  bool left, right;
  Level level;
};

struct ByWeight {
  WeightedLevels at;
  double start(std::size_t i, std::size_t j) const noexcept {
    const double a = i > 0 ? at.left[i - 1] : 0, b = j > 0 ? at.right[j - 1] : 0;
    return a > b ? a : b;
  }
  Next<double> next(std::size_t i, std::size_t j) const noexcept {
    const double a = at.left[i], b = at.right[j];
    const bool left = a <= b + at.tolerance, right = b <= a + at.tolerance;
    return {left, right, left & right ? (a > b ? a : b) : (left ? a : b)};
  }
};

struct ByCount {
  UniformLevels at;
  std::uint64_t start(std::size_t i, std::size_t j) const noexcept {
    return i * at.m > j * at.n ? i * at.m : j * at.n;
  }
  Next<std::uint64_t> next(std::size_t i, std::size_t j) const noexcept {
    const std::uint64_t a = (i + 1) * at.m, b = (j + 1) * at.n;
    return {a <= b, b <= a, a <= b ? a : b};
  }
};

// Which side of a merge moves next cannot be foreseen, so a step takes no branch; a stretch that
// has come to its end stands still and passes no level.
template <class T, class Levels, class F>
double merge(const T* x, std::size_t n, const T* y, std::size_t m, Levels levels,
             const Stretch (&stretches)[merge_lanes], F gather) noexcept {
  using Level = decltype(levels.start(0, 0));
  std::size_t i[merge_lanes], j[merge_lanes], most = 0;
  Level passed[merge_lanes];
  double sum[merge_lanes] = {};
  for (std::size_t l = 0; l < merge_lanes; ++l) {
    i[l] = stretches[l].i;
    j[l] = stretches[l].j;
    passed[l] = levels.start(i[l], j[l]);
    const std::size_t at = i[l] + j[l];
    const std::size_t steps = at < stretches[l].end ? stretches[l].end - at : 0;
    most = steps > most ? steps : most;
  }
  for (std::size_t s = 0; s < most; ++s) {
    for (std::size_t l = 0; l < merge_lanes; ++l) {
      const bool active = i[l] + j[l] < stretches[l].end;
      const auto next = levels.next(i[l], j[l]);
      const std::size_t k = i[l] < n ? i[l] : n - 1, h = j[l] < m ? j[l] : m - 1;
      const Level level = active ? next.level : passed[l];
      const double d = distance(static_cast<double>(x[k]), static_cast<double>(y[h]));
      sum[l] = gather(sum[l], static_cast<double>(level - passed[l]), d);
      passed[l] = level;
      i[l] += static_cast<std::size_t>(next.left & active);
      j[l] += static_cast<std::size_t>(next.right & active);
    }
  }
  for (std::size_t l = 1; l < merge_lanes; ++l) {
    sum[0] = gather.join(sum[0], sum[l]);
  }
  return sum[0];
}

template <class T, class Levels>
double merge(const T* x, std::size_t n, const T* y, std::size_t m, Levels levels,
             const Stretch (&stretches)[merge_lanes], Power power) noexcept {
  return with(power,
              [&](auto gather) noexcept { return merge(x, n, y, m, levels, stretches, gather); });
}

template <class T>
double weighted(const T* x, std::size_t n, const T* y, std::size_t m, WeightedLevels levels,
                const Stretch (&stretches)[merge_lanes], Power power) noexcept {
  return merge(x, n, y, m, ByWeight{levels}, stretches, power);
}

template <class T>
double uniform(const T* x, std::size_t n, const T* y, std::size_t m, UniformLevels levels,
               const Stretch (&stretches)[merge_lanes], Power power) noexcept {
  return merge(x, n, y, m, ByCount{levels}, stretches, power);
}

template <class T>
constexpr WassersteinKernelsOf<T> table_of{&equal<T>, &weighted<T>, &uniform<T>};

}  // namespace

template <>
const WassersteinKernels& WassersteinKernels::at<level_of_this_file>() noexcept {
  static constexpr WassersteinKernels table{table_of<double>, table_of<float>};
  return table;
}

}  // namespace recouple
