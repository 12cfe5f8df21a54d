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

// A stretch of the path of a merge: from the pair of atoms (i, j) to where i + j reaches `end`.
struct Stretch {
  std::size_t i, j, end;
};

// A merge waits for memory and comparisons, so several stretches advance together.
inline constexpr std::size_t merge_lanes = 4;

// Levels of a merge, passed together where they are closer than `tolerance`.
struct WeightedLevels {
  const double *left, *right;  // cumulative weights, ending in 1 with +inf behind it
  double tolerance;
};
struct UniformLevels {
  std::size_t n, m;  // (i + 1) m and (j + 1) n, exact
};

template <class T>
struct WassersteinKernelsOf {
  // Sum, or greatest, of |x[i] - y[i]|^p.
  double (*equal)(const T* x, const T* y, std::size_t n, Power power) noexcept;
  // Sum (or greatest) of mass |x[i] - y[j]|^p along stretches of the merge of n and m atoms.
  double (*weighted)(const T* x, std::size_t n, const T* y, std::size_t m, WeightedLevels levels,
                     const Stretch (&stretches)[merge_lanes], Power power) noexcept;
  // The same for equal weights; masses in units of 1 / (n m).
  double (*uniform)(const T* x, std::size_t n, const T* y, std::size_t m, UniformLevels levels,
                    const Stretch (&stretches)[merge_lanes], Power power) noexcept;
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
