#include "recouple/numeric.hpp"

#include "kernels/numeric.hpp"

namespace recouple::numeric {

void exp(std::span<const double> x, std::span<double> y) noexcept {
  kernels<NumericKernels>().exp(x.data(), y.data(), x.size());
}
void log(std::span<const double> x, std::span<double> y) noexcept {
  kernels<NumericKernels>().log(x.data(), y.data(), x.size());
}
void erf(std::span<const double> x, std::span<double> y) noexcept {
  kernels<NumericKernels>().erf(x.data(), y.data(), x.size());
}
void erfc(std::span<const double> x, std::span<double> y) noexcept {
  kernels<NumericKernels>().erfc(x.data(), y.data(), x.size());
}
void erfcx(std::span<const double> x, std::span<double> y) noexcept {
  kernels<NumericKernels>().erfcx(x.data(), y.data(), x.size());
}
void normal_cdf(std::span<const double> x, std::span<double> y) noexcept {
  kernels<NumericKernels>().normal_cdf(x.data(), y.data(), x.size());
}
void normal_quantile(std::span<const double> u, std::span<double> x) noexcept {
  kernels<NumericKernels>().normal_quantile(u.data(), x.data(), u.size());
}

double normal_cdf(double x) noexcept {
  double y;
  normal_cdf(std::span(&x, 1), std::span(&y, 1));
  return y;
}
double normal_quantile(double u) noexcept {
  double x;
  normal_quantile(std::span(&u, 1), std::span(&x, 1));
  return x;
}

}  // namespace recouple::numeric
