// What the sources of the inverse share.
#pragma once

#include <span>
#include <stdexcept>

#include "kernels/inverse_dense.hpp"

namespace recouple {

inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

inline double dot(std::span<const double> a, std::span<const double> b) noexcept {
  return kernels<DenseKernels>().dot(a.data(), b.data(), a.size());
}

}  // namespace recouple
