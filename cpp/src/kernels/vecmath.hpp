// Branch-free elementary functions for kernel sources, written so that loops over them vectorise.
//
// Included by files in kernels/ only, each compiled for its own instruction set: everything is in
// an anonymous namespace so that no two levels share a symbol.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __AVX512VL__
#include <immintrin.h>
#endif

namespace recouple {
namespace {  // NOLINT: internal linkage is the point, see above

// exp(x) to 1 ulp for x in [-708, 709]; 0 below -745, inf above 709.8, NaN for NaN.
//
// x = k log 2 + r with |r| <= log(2)/2, exp(r) by its Taylor series to degree 13 (remainder 4e-18),
// and 2^k assembled in the exponent bits in two factors, so that subnormal results come out.
[[maybe_unused]] inline double vec_exp(double x) noexcept {
  constexpr double log2e = 1.4426950408889634074;
  constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  constexpr double round = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  double c = x < 709.79 ? x : 709.79;           // NaN takes the bound and is put back at the end
  c = c > -746.0 ? c : -746.0;
  const double shifted = c * log2e + round;
  const double k = shifted - round;
  const double r = (c - k * ln2_hi) - k * ln2_lo;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const auto n = static_cast<std::int64_t>(__builtin_bit_cast(std::uint64_t, shifted) -
                                           __builtin_bit_cast(std::uint64_t, round));
  // Split as k = half + rest without a 64-bit arithmetic shift, which AVX2 lacks.
  const auto biased = static_cast<std::uint64_t>(n + 2048);
  const std::uint64_t half = biased >> 1, rest = biased - half;
  const double scale_half = __builtin_bit_cast(double, (half + 1023 - 1024) << 52);
  const double scale_rest = __builtin_bit_cast(double, (rest + 1023 - 1024) << 52);
  const double y = (p * scale_half) * scale_rest;
  return x == x ? (x > 709.782712893384 ? __builtin_inf() : y) : x;
}

// An unevaluated sum hi + lo, |lo| <= ulp(hi) / 2.
struct Two {
  double hi, lo;
};

// a + b exactly (Knuth 1969).
[[maybe_unused]] inline Two two_sum(double a, double b) noexcept {
  const double s = a + b, bb = s - a;
  return {s, (a - (s - bb)) + (b - bb)};
}

// a * b exactly: by fused multiply-add, or by halves of 26 bits (Dekker 1971; |a|, |b| < 1e150).
[[maybe_unused]] inline Two two_product(double a, double b) noexcept {
  const double p = a * b;
#if defined(__FMA__) || defined(__aarch64__)
  return {p, __builtin_fma(a, b, -p)};
#else
  const double ca = 134217729.0 * a, cb = 134217729.0 * b;
  const double ah = ca - (ca - a), al = a - ah;
  const double bh = cb - (cb - b), bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
#endif
}

// log(x) to 1 ulp; -inf for 0, inf for inf, NaN for NaN and below 0.
//
// x = 2^k m with m in [sqrt(1/2), sqrt(2)); with s = (m - 1) / (m + 1) and f = m - 1,
// log m = f - (f^2/2 - s (f^2/2 + s^2 L(s^2))), L a minimax polynomial of degree 7 (error 3e-18 of
// log m); k log 2 joins in two parts.
[[maybe_unused]] inline double vec_log(double x) noexcept {
  constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  const bool tiny = x < 2.2250738585072014e-308;
  const double scaled = tiny ? x * 18014398509481984.0 : x;  // 2^54 lifts the subnormals
  const auto bits = __builtin_bit_cast(std::uint64_t, scaled);
  // The exponent as an unsigned number, read off as a double by placing it in the mantissa of 2^52.
  constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcdULL;
  const std::uint64_t offset = bits - root_half + (std::uint64_t{1024} << 52);
  const double k = __builtin_bit_cast(double, (offset >> 52) | 0x4330000000000000ULL) -
                   (4503599627370496.0 + 1024.0) - (tiny ? 54.0 : 0.0);
  const double m = __builtin_bit_cast(double, (offset & 0x000fffffffffffffULL) + root_half);
  const double f = m - 1, s = f / (m + 1), z = s * s, half_square = 0.5 * f * f;
  double p = 0.13087012556346885859;
  p = p * z + 0.1326873335182942069;
  p = p * z + 0.15386241312041130088;
  p = p * z + 0.18181795607863073744;
  p = p * z + 0.22222222392046033777;
  p = p * z + 0.28571428570801984588;
  p = p * z + 0.40000000000000879971;
  p = p * z + 0.66666666666666666464;
  const double y = k * ln2_hi - ((half_square - (s * (half_square + z * p) + k * ln2_lo)) - f);
  const double finite = x < __builtin_inf() ? y : x;
  return x > 0 ? finite : (x == 0 ? -__builtin_inf() : __builtin_nan(""));
}

// Mills' ratio over sqrt(2 pi): R(a) = Phi(-a) exp(a^2 / 2) for a in [0, 1e20], a minimax quotient
// of degrees 10 and 11 (error 2.6e-17) whose coefficients are all positive, so that nothing
// cancels.
[[maybe_unused]] inline double vec_mills(double a) noexcept {
  const double b = a * a;  // even and odd powers apart: half as many roundings in a row
  double p = 2.6729860651640090944e-7;
  p = p * b + 0.00012260252730062048773;
  p = p * b + 0.0079105680727477075099;
  p = p * b + 0.14178662990837139255;
  p = p * b + 0.70580905045785682145;
  p = p * b + 0.49999999999999998733;
  double r = 8.1717678073559838679e-6;
  r = r * b + 0.0011749742185650165657;
  r = r * b + 0.038944003758078063796;
  r = r * b + 0.37739700167235959951;
  r = r * b + 0.84484154541175767978;
  double q = 0.000020483584239637937368;
  q = q * b + 0.0029657071824622872527;
  q = q * b + 0.10052239740781000824;
  q = q * b + 1.0379265597852297413;
  q = q * b + 2.8964099241011732355;
  q = q * b + 1.0;
  double s = 6.7001824486347670211e-7;
  s = s * b + 0.00030798897971779134211;
  s = s * b + 0.020134832524016009919;
  s = s * b + 0.37462729011998383506;
  s = s * b + 2.0879724579941770407;
  s = s * b + 2.4875676516263761317;
  return (r * a + p) / (s * a + q);
}

// exp(-z^2 / 2) for z = hi + lo, |hi| <= 1e3, the rounding of the square carried along: without it
// the relative error would be z^2 / 2 ulp.
[[maybe_unused]] inline double vec_gauss(Two z) noexcept {
  const Two square = two_product(z.hi, z.hi);
  const double e = vec_exp(-0.5 * square.hi);
  return e - e * (0.5 * square.lo + z.hi * z.lo);
}

// Phi(z) for z = hi + lo, to a few ulp down to the subnormals; NaN in hi gives NaN.
[[maybe_unused]] inline double vec_normal_cdf(Two z) noexcept {
  const double a = __builtin_fabs(z.hi);
  const bool far = !(a < 40.0);
  const double b = far ? 40.0 : z.hi;
  const double q = vec_gauss({b, far ? 0.0 : z.lo}) * vec_mills(far ? 40.0 : a);
  return z.hi == z.hi ? (z.hi > 0 ? 1 - q : q) : z.hi;
}

// log(1 + x) to 2 ulp for x > -1: the rounding of 1 + x is put back to first order.
[[maybe_unused]] inline double vec_log1p(double x) noexcept {
  const double t = 1 + x;
  const double y = vec_log(t) - ((t - 1) - x) / t;
  return t < __builtin_inf() ? y : t;
}

// The normal quantile over q = u - 1/2 for |q| <= 0.425, at r = 0.425^2 - q^2: a minimax quotient
// of the form of Wichura (1988, AS 241), error 7.4e-17.
[[maybe_unused]] inline double vec_quantile_centre(double r) noexcept {
  double p = 2506.7893282709000134;
  p = p * r + 33406.501671546921738;
  p = p * r + 67228.91655430890242;
  p = p * r + 45903.658077314058177;
  p = p * r + 13727.96796609745377;
  p = p * r + 1971.2665717951157588;
  p = p * r + 133.13167169121733957;
  p = p * r + 3.3871328727963665941;
  double d = 5222.145629110815311;
  d = d * r + 28710.189954434618043;
  d = d * r + 39288.176746239119495;
  d = d * r + 21206.030946381328162;
  d = d * r + 5392.8466720570516459;
  d = d * r + 687.08237042036676207;
  d = d * r + 42.310379473839119396;
  d = d * r + 1.0;
  return p / d;
}

// -Phi^-1(w) at r = sqrt(-log w) - 1.6 for w from 0.2 down to 1.4e-11 (error 1.7e-17) ...
[[maybe_unused]] inline double vec_quantile_tail(double r) noexcept {
  double p = 0.0007744911366930182395;
  p = p * r + 0.02272228093399747075;
  p = p * r + 0.2417662918676612231;
  p = p * r + 1.270400372847613182;
  p = p * r + 3.647737744660259415;
  p = p * r + 5.769399663574905111;
  p = p * r + 4.630306543997362313;
  p = p * r + 1.423437110749683578;
  double d = 1.050722179696010606e-9;
  d = d * r + 0.0005475557153945613909;
  d = d * r + 0.01519762115848015176;
  d = d * r + 0.1480953405228131207;
  d = d * r + 0.6897383221309092698;
  d = d * r + 1.676342676189561277;
  d = d * r + 2.053169636091814375;
  d = d * r + 1.0;
  return p / d;
}

// ... and at r = sqrt(-log w) - 5 from there to the smallest subnormal (error 3.4e-17).
[[maybe_unused]] inline double vec_quantile_far_tail(double r) noexcept {
  double p = 1.994421103452870781e-7;
  p = p * r + 0.00002696917556390091681;
  p = p * r + 0.00123814286544356156;
  p = p * r + 0.02646850288933401244;
  p = p * r + 0.2961106648712900358;
  p = p * r + 1.78327756163205791;
  p = p * r + 5.461721015855553441;
  p = p * r + 6.657904643501103826;
  double d = 1.999030866974735392e-15;
  d = d * r + 1.410259511270388331e-7;
  d = d * r + 0.00001836529892426186778;
  d = d * r + 0.0007841601229726423753;
  d = d * r + 0.01484364001276396977;
  d = d * r + 0.1367656789490889951;
  d = d * r + 0.5995222148364100374;
  d = d * r + 1.0;
  return p / d;
}

// x[i] = Phi^-1(u[i]) for n <= 256 points; x may be u. The tails, a seventh of uniform points, are
// gathered and done apart, so that the logarithm and the root are paid where they are needed.
[[maybe_unused]] inline void normal_quantile_block(const double* u, double* x,
                                                   std::size_t n) noexcept {
  std::int32_t where[256 + 16];
  double w[256 + 8], lower[256 + 8];
  std::size_t tails = 0, i0 = 0;
#ifdef __AVX512VL__
  const __m512d half = _mm512_set1_pd(0.5), unit = _mm512_set1_pd(1.0);
  __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (; i0 + 8 <= n; i0 += 8) {
    const __m512d v = _mm512_loadu_pd(u + i0), q = _mm512_sub_pd(v, half);
    const auto far =
        static_cast<__mmask8>(_mm512_cmp_pd_mask(q, _mm512_set1_pd(0.425), _CMP_NLE_UQ) |
                              _mm512_cmp_pd_mask(q, _mm512_set1_pd(-0.425), _CMP_NGE_UQ));
    const __mmask8 low = _mm512_cmp_pd_mask(v, half, _CMP_LT_OQ);
    _mm512_mask_compressstoreu_pd(w + tails, far,
                                  _mm512_mask_blend_pd(low, _mm512_sub_pd(unit, v), v));
    _mm512_mask_compressstoreu_pd(lower + tails, far, q);
    _mm256_mask_compressstoreu_epi32(where + tails, far, index);
    index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
    tails += static_cast<std::size_t>(__builtin_popcount(far));
  }
#endif
  for (std::size_t i = i0; i < n; ++i) {
    const double q = u[i] - 0.5;
    where[tails] = static_cast<std::int32_t>(i);
    w[tails] = q < 0 ? u[i] : 1 - u[i];
    lower[tails] = q;
    tails += __builtin_fabs(q) <= 0.425 ? 0u : 1u;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const double q = u[i] - 0.5;
    x[i] = q * vec_quantile_centre(0.180625 - q * q);
  }
  for (std::size_t j = 0; j < tails; ++j) {
    const double r = __builtin_sqrt(-vec_log(w[j]));
    double y = vec_quantile_tail(r - 1.6);
    y = w[j] > 0 ? y : (w[j] == 0 ? __builtin_inf() : __builtin_nan(""));
    w[j] = r;
    lower[j] = lower[j] < 0 ? -y : y;
  }
  for (std::size_t j = 0; j < tails; ++j) {
    double y = lower[j];
    if (w[j] > 5 && w[j] < 30) y = __builtin_copysign(vec_quantile_far_tail(w[j] - 5), y);
    x[where[j]] = y;
  }
}

}  // namespace
}  // namespace recouple
