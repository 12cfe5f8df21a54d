#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"
#include "recouple/interpolant.hpp"

namespace recouple {

// A mixture's components, one entry each: X0 = mean0 + root00 z0 + root01 z1 and
// X1 = mean1 + root10 z0 + root11 z1 with independent standard normals z.
struct MixtureView {
  std::size_t size;
  const double *weight, *mean0, *mean1, *root00, *root01, *root10, *root11;
};

// The spline of a grid plan and the straight lines to integrate it along: those on which
// steep * (coordinate along the splines) + flat * (coordinate across them) = x.
struct GridLines {
  const double* spline;  // one line of `points` + 2 coefficients for each of `lines` grid lines
  std::size_t points, lines;
  double steep, flat, steep_rate, flat_rate;  // a, b and their derivatives, or b, a and theirs
  double first, spacing;                      // grid along the splines
  double first_line, line_spacing;            // grid across them
};

struct FieldKernels {
  // One time for all n points. div may be null.
  void (*mixture_velocity)(const MixtureView& plan, const Coefficients& at, const double* x,
                           double* v, double* div, std::size_t n) noexcept;
  // Point i at the time whose interpolant is a[i], b[i], da[i], db[i].
  void (*mixture_velocity_each)(const MixtureView& plan, const double* a, const double* b,
                                const double* da, const double* db, const double* x, double* v,
                                double* div, std::size_t n) noexcept;
  // The same for the linear interpolant at times t[i].
  void (*mixture_velocity_linear)(const MixtureView& plan, const double* t, const double* x,
                                  double* v, double* div, std::size_t n) noexcept;
  // Integrals along each line of the density and of the density times the velocity, and, if slopes
  // is not null (2 n), their derivatives in x one after the other.
  void (*grid_lines)(const GridLines& lines, const double* x, double* density, double* flux,
                     double* slopes, std::size_t n) noexcept;

  template <Simd>
  static const FieldKernels& at() noexcept;
};

}  // namespace recouple
