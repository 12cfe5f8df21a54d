#include "kernels/numeric.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

constexpr Two root2{1.4142135623730951, -9.667293313452913e-17};

// erfc(a) for a >= 0, as 2 Phi(-sqrt(2) a) with the product sqrt(2) a carried in two parts.
inline double erfc_positive(double a) noexcept {
  const double b = a < 30 ? a : 30;
  const Two z = two_product(b, root2.hi);
  return 2 * (vec_gauss({z.hi, z.lo + b * root2.lo}) * vec_mills(z.hi));
}

inline double one_exp(double x) noexcept {
  return vec_exp(x);
}

inline double one_log(double x) noexcept {
  return vec_log(x);
}

inline double one_erfc(double x) noexcept {
  const double q = erfc_positive(__builtin_fabs(x));
  return x == x ? (x < 0 ? 2 - q : q) : x;
}

inline double one_erf(double x) noexcept {
  const double a = __builtin_fabs(x), z = a < 1 ? x * x : 1.0;
  double p = 1.1793297673322646943e-8;  // erf(x) / x on [0, 0.7], error 2.2e-19
  p = p * z - 1.6021050013605592701e-7;
  p = p * z + 1.643935880182792262e-6;
  p = p * z - 0.000014924709751087154956;
  p = p * z + 0.00012055307890302753205;
  p = p * z - 0.0008548326592327015282;
  p = p * z + 0.0052239776208139450671;
  p = p * z - 0.026866170644840845214;
  p = p * z + 0.11283791670954189455;
  p = p * z - 0.37612638903183740666;
  p = p * z + 1.1283791670955125736;
  const double far = 1 - erfc_positive(a);
  return x == x ? (a < 0.7 ? x * p : (x < 0 ? -far : far)) : x;
}

inline double one_erfcx(double x) noexcept {
  const double a = __builtin_fabs(x);
  const double y = a < 1e19 ? 2 * vec_mills(a * root2.hi) : 0.56418958354775628695 / a;
  // Below 0: 2 exp(x^2) - erfcx(-x), the rounding of x^2 carried along; infinite beyond -26.7.
  const double b = a < 27 ? a : 27;
  const Two square = two_product(b, b);
  const double e = vec_exp(square.hi);
  const double below = 2 * (e + e * square.lo) - y;
  return x == x ? (x < 0 ? (a < 27 ? below : __builtin_inf()) : y) : x;
}

inline double one_normal_cdf(double x) noexcept {
  return vec_normal_cdf({x, 0.0});
}

template <double (*f)(double) noexcept>
void map(const double* x, double* y, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

void normal_quantile(const double* u, double* x, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += 256) {
    normal_quantile_block(u + i, x + i, n - i < 256 ? n - i : 256);
  }
}

}  // namespace

template <>
const NumericKernels& NumericKernels::at<level_of_this_file>() noexcept {
  static constexpr NumericKernels table{&map<one_exp>,
                                        &map<one_log>,
                                        &map<one_erf>,
                                        &map<one_erfc>,
                                        &map<one_erfcx>,
                                        &map<one_normal_cdf>,
                                        &recouple::normal_quantile};
  return table;
}

}  // namespace recouple
