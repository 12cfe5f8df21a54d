#include "kernels/theory.hpp"

namespace recouple {
namespace {

// asin(s) for |s| <= 1/2: a minimax quotient in s^2, error 1e-17 (the one of FDLIBM).
inline double small_asin(double s) noexcept {
  const double z = s * s;
  double p = 3.47933107596021167570e-05;
  p = p * z + 7.91534994289814532176e-04;
  p = p * z - 4.00555345006794114027e-02;
  p = p * z + 2.01212532134862925881e-01;
  p = p * z - 3.25565818622400915405e-01;
  p = p * z + 1.66666666666666657415e-01;
  double q = 7.70381505559019352791e-02;
  q = q * z - 6.88283971605453293030e-01;
  q = q * z + 2.02094576023350569471e+00;
  q = q * z - 2.40339491173441421878e+00;
  q = q * z + 1.0;
  return s + s * (z * p / q);
}

constexpr double pi = 3.14159265358979323846, over_two_pi = 0.15915494309189533577;

template <bool outputs>
void row(std::size_t inputs, const double* u, double norm, const double* across,
         const double* norms, double* out) noexcept {
  double minus[ntk_tile], plus[ntk_tile];
  constexpr std::size_t lanes = 8;
  typedef double Lanes __attribute__((vector_size(lanes * sizeof(double))));
  for (std::size_t j = 0; j < ntk_tile; j += 2 * lanes) {  // sums stay in registers
    Lanes low[2] = {}, high[2] = {};
    for (std::size_t c = 0; c < inputs; ++c) {
#pragma GCC unroll 2
      for (std::size_t k = 0; k < 2; ++k) {
        Lanes b;
        __builtin_memcpy(&b, across + c * ntk_tile + j + k * lanes, sizeof b);
        const Lanes d = u[c] - b, s = u[c] + b;
        low[k] += d * d;
        high[k] += s * s;
      }
    }
    __builtin_memcpy(minus + j, low, sizeof low);
    __builtin_memcpy(plus + j, high, sizeof high);
  }
  for (std::size_t j = 0; j < ntk_tile; ++j) {
    // sin^2 and cos^2 of half the angle; each angle from the one that is well conditioned.
    const double near = 0.25 * minus[j], far = 0.25 * plus[j], cosine = far - near;
    [[maybe_unused]] const double sine = 2 * __builtin_sqrt(near * far);
    const double least = near < far ? near : far;
    const double root = __builtin_sqrt(least);
    const double angle = small_asin(least < 0.25 ? root : cosine);
    const double sharp = near < far ? pi - 2 * angle : 2 * angle;
    const double rest = least < 0.25 ? sharp : 0.5 * pi + angle;  // pi - theta
    double value = cosine * rest;
    if constexpr (outputs) value += value + sine;
    out[j] = norm * norms[j] * over_two_pi * value;
  }
}

void ntk_row(std::size_t inputs, bool outputs, const double* u, double norm, const double* across,
             const double* norms, double* out) noexcept {
  return outputs ? row<true>(inputs, u, norm, across, norms, out)
                 : row<false>(inputs, u, norm, across, norms, out);
}

}  // namespace

template <>
const TheoryKernels& TheoryKernels::at<level_of_this_file>() noexcept {
  static constexpr TheoryKernels table{&recouple::ntk_row};
  return table;
}

}  // namespace recouple
