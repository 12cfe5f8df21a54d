#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.hpp"

namespace recouple {

// Values of the at most 8 B-splines that are not zero at a point, padded with zeros.
inline constexpr std::size_t feature_width = 8;

// The features of one time at the points of the grid: point p sees the splines start[p] to
// start[p] + 7, with the values value[8 p] to value[8 p + 7].
struct FeatureView {
  const std::int32_t* start;
  const double* value;
};

struct InverseKernels {
  // exponent[p] += sum_s value[p][s] theta[start[p] + s]; theta has feature_width spare entries.
  void (*add_exponent)(const FeatureView& f, const double* theta, double* exponent,
                       std::size_t points) noexcept;
  // mass[p] = reference[p] * exp(min(exponent[p], 600)).
  void (*tilt)(const double* reference, const double* exponent, double* mass,
               std::size_t points) noexcept;
  // moments[start[p] + s] += mass[p] value[p][s]; moments has feature_width spare entries.
  void (*add_moments)(const FeatureView& f, const double* mass, double* moments,
                      std::size_t points) noexcept;
  // block[start_k[p] + r][start_l[p] + s] += mass[p] value_k[p][r] value_l[p][s] over the listed
  // points; rows `stride` apart, with feature_width spare rows and columns. Only r < used is not
  // zero.
  void (*add_products)(const FeatureView& k, const FeatureView& l, const double* mass,
                       const std::uint32_t* listed, std::size_t count, std::size_t used,
                       double* block, std::size_t stride) noexcept;

  template <Simd>
  static const InverseKernels& at() noexcept;
};

}  // namespace recouple
