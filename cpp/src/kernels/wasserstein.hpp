#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// Which power of |x - y| / scale a sum is of.
struct Power {
  enum Kind { one, two, whole, any, greatest } kind;
  double p;      // for whole (an integer) and any
  double scale;  // divides the differences of whole and any
};

// A merge waits for memory and comparisons, so several stretches of its path advance together.
inline constexpr std::size_t merge_lanes = 8;

// Where each stretch begins: at the pair of atoms (i, j).
struct MergeStarts {
  std::size_t i[merge_lanes], j[merge_lanes];
};

// How many of all steps a stretch takes; each begins where the one before it ends.
constexpr std::size_t steps_of_lane(std::size_t lane, std::size_t steps) noexcept {
  return steps / merge_lanes + (lane < steps % merge_lanes ? 1 : 0);
}

template <class T>
struct WassersteinKernelsOf {
  // The least of n > 0 weights and their sum.
  void (*weigh)(const T* w, std::size_t n, double& least, double& sum) noexcept;
  // Sum (or greatest) of |x[i] - y[i]|^p.
  double (*equal)(const T* x, const T* y, std::size_t n, Power power) noexcept;
  // Sum (or greatest) of mass |x[i] - y[j]|^p along `steps` steps of a merge, by cumulative weights
  // that end in 1 with +inf behind it; x and y go one further as well. Masses up to `tolerance` are
  // rounding and do not count.
  double (*weighted)(const T* x, const double* cu, const T* y, const double* cv,
                     const MergeStarts& starts, std::size_t steps, double tolerance,
                     Power power) noexcept;
  // The same for n and m equal weights; masses are whole numbers, in units of 1 / (n m).
  double (*uniform)(const T* x, std::size_t n, const T* y, std::size_t m, const MergeStarts& starts,
                    std::size_t steps, Power power) noexcept;
};

struct WassersteinKernels {
  WassersteinKernelsOf<double> doubles;
  WassersteinKernelsOf<float> floats;

  template <class T>
  const WassersteinKernelsOf<T>& of() const noexcept {
    if constexpr (sizeof(T) == sizeof(double)) {
      return doubles;
    } else {
      return floats;
    }
  }

  template <Simd>
  static const WassersteinKernels& at() noexcept;
};

}  // namespace recouple
