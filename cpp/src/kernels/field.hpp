#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"
#include "recouple/interpolant.hpp"

namespace recouple {

// The joint moments of a mixture's components, one entry per component.
struct MixtureView {
  std::size_t size;
  const double *weight, *mean0, *mean1, *cov00, *cov01, *cov11;
};

struct FieldKernels {
  // One time for all n points.
  void (*mixture_velocity)(const MixtureView& plan, const Coefficients& at, const double* x,
                           double* v, std::size_t n) noexcept;
  // Point i at the time whose interpolant is a[i], b[i], da[i], db[i].
  void (*mixture_velocity_each)(const MixtureView& plan, const double* a, const double* b,
                                const double* da, const double* db, const double* x, double* v,
                                std::size_t n) noexcept;

  template <Simd>
  static const FieldKernels& at() noexcept;
};

}  // namespace recouple
