// Elementary and normal-law functions on arrays, at the speed of the machine's vectors.
//
// Each writes y[i] = f(x[i]) for equally long spans (in place is allowed) and handles every double:
// NaN gives NaN, infinities their limits. Accuracies are the largest errors measured against
// 50-digit arithmetic; they hold at every instruction-set level.
#pragma once

#include <span>

namespace recouple::numeric {

void exp(std::span<const double> x, std::span<double> y) noexcept;
void log(std::span<const double> x, std::span<double> y) noexcept;
void erf(std::span<const double> x, std::span<double> y) noexcept;
void erfc(std::span<const double> x, std::span<double> y) noexcept;
void erfcx(std::span<const double> x, std::span<double> y) noexcept;  // exp(x^2) erfc(x)

// Phi(x) = P(Z <= x) for standard normal Z, accurate relative to itself in the lower tail; for the
// upper tail call it with -x.
void normal_cdf(std::span<const double> x, std::span<double> y) noexcept;

// The x with Phi(x) = u; -inf at 0, inf at 1, NaN outside [0, 1].
void normal_quantile(std::span<const double> u, std::span<double> x) noexcept;

double normal_cdf(double x) noexcept;
double normal_quantile(double u) noexcept;

}  // namespace recouple::numeric
