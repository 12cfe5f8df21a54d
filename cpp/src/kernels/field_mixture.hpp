#pragma once

#include <cstddef>

#include "kernels/dispatch.hpp"

namespace recouple {

// One Gaussian component of a plan at one time: X_t ~ N(mean, S), E[dX_t/dt | X_t] = rate +
// A (X_t - mean), and a square matrix W with W S W' = I on the range of S.
struct ComponentView {
  const double *mean, *rate;  // (dim)
  const double* forms;        // (dim, 2 padded): W' and A' side by side, columns padded to 8
  const double* whiten;       // (dim, padded): W
  double log_weight;          // log w - log |S| / 2
  double trace;               // of A
};

inline constexpr std::size_t mixture_points = 48;

struct MixtureKernels {
  // Velocity at up to mixture_points points (n, dim) and, if div is not null, divergence. scratch
  // holds n (dim + 5 padded) doubles, padded being dim rounded up to a multiple of 8.
  void (*velocity)(const ComponentView* components, std::size_t count, std::size_t dim,
                   const double* x, std::size_t n, double* v, double* div,
                   double* scratch) noexcept;

  // The velocity of a plan with one component: offset (padded, rate - A mean) + A x at any number
  // of points. scratch holds mixture_points padded doubles.
  void (*affine)(const ComponentView& component, std::size_t dim, const double* offset,
                 const double* x, std::size_t n, double* v, double* scratch) noexcept;

  template <Simd>
  static const MixtureKernels& at() noexcept;
};

}  // namespace recouple
