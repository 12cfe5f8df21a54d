#include "kernels/marginal.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

constexpr std::size_t lanes = 64;  // points worked on together: their scratch stays in L1
constexpr double largest = 1.7976931348623157e308;

inline std::size_t least(std::size_t a, std::size_t b) noexcept {
  return a < b ? a : b;
}

// (x - mean) / std in two parts, good to 2^-100 or so.
//
// Rounding z alone would cost z^2 eps of the tail, and more where x - mean cancels nothing of a
// large mean; ulps of x can be far smaller than that.
inline Two standardise(double x, double mean, double inverse, double inverse_low) noexcept {
  const Two d = two_sum(x, -mean);
  const Two z = two_product(d.hi, inverse);
  const double low = z.lo + (d.hi * inverse_low + d.lo * inverse);
  return {z.hi, __builtin_fabs(z.hi) < 1e3 ? low : 0.0};  // far out the parts may be infinite
}

// Tail probabilities p, densities f and their slopes g = f' at n <= lanes points; side +1 for lower
// tails, -1 for upper ones. The sum over components is compensated.
inline void tails(const LineMixture& m, const double* x, const double* side, double* p, double* f,
                  double* g, std::size_t n) noexcept {
  double low[lanes];
  for (std::size_t i = 0; i < n; ++i) p[i] = low[i] = f[i] = g[i] = 0;
  for (std::size_t k = 0; k < m.size; ++k) {
    const double mean = m.mean[k], inverse = m.inverse[k], inverse_low = m.inverse_low[k];
    const double weight = m.weight[k], peak = m.peak[k];
    for (std::size_t i = 0; i < n; ++i) {
      const Two z = standardise(x[i], mean, inverse, inverse_low);
      const double a = __builtin_fabs(z.hi) < 40 ? __builtin_fabs(z.hi) : 40.0;
      const double e = vec_gauss({a, __builtin_copysign(1.0, z.hi) * z.lo});
      const double q = e * vec_mills(a);
      const Two sum = two_sum(p[i], weight * (side[i] * z.hi > 0 ? 1 - q : q));
      p[i] = sum.hi;
      low[i] += sum.lo;
      const double density = peak * e;
      f[i] += density;
      g[i] -= density * (z.hi * inverse);
    }
  }
  for (std::size_t i = 0; i < n; ++i) p[i] += low[i];
}

template <int side>
void tail(const LineMixture& m, const double* x, double* out, std::size_t n) noexcept {
  double low[lanes], p[lanes];
  for (std::size_t first = 0; first < n; first += lanes) {
    const std::size_t count = least(lanes, n - first);
    const double* at = x + first;
    for (std::size_t i = 0; i < count; ++i) p[i] = low[i] = 0;
    for (std::size_t k = 0; k < m.size; ++k) {
      const double mean = m.mean[k], inverse = m.inverse[k], inverse_low = m.inverse_low[k];
      const double weight = m.weight[k];
      for (std::size_t i = 0; i < count; ++i) {
        const Two z = standardise(at[i], mean, inverse, inverse_low);
        const Two sum = two_sum(p[i], weight * vec_normal_cdf({side * z.hi, side * z.lo}));
        p[i] = sum.hi;
        low[i] += sum.lo;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      const double sum = p[i] + low[i];
      out[first + i] = sum < 1 ? sum : (sum >= 1 ? 1.0 : sum);
    }
  }
}

void density(const LineMixture& m, const double* x, double* out, std::size_t n) noexcept {
  double f[lanes];
  for (std::size_t first = 0; first < n; first += lanes) {
    const std::size_t count = least(lanes, n - first);
    const double* at = x + first;
    for (std::size_t i = 0; i < count; ++i) f[i] = 0;
    for (std::size_t k = 0; k < m.size; ++k) {
      const double mean = m.mean[k], inverse = m.inverse[k], inverse_low = m.inverse_low[k];
      const double peak = m.peak[k];
      for (std::size_t i = 0; i < count; ++i) {
        const Two z = standardise(at[i], mean, inverse, inverse_low);
        const bool near = __builtin_fabs(z.hi) < 40;
        f[i] += peak * vec_gauss({near ? z.hi : 40.0, near ? z.lo : 0.0});
      }
    }
    for (std::size_t i = 0; i < count; ++i) out[first + i] = at[i] == at[i] ? f[i] : at[i];
  }
}

// log sum_k c_k exp(-z_k^2 / 2) h(z_k), relative to the largest exponent, so that nothing
// underflows. h is 1 for the density, Mills' ratio (below the mean) or the tail itself over its
// Gaussian (above) for the tails.
template <int side>  // 0: the density
void log_sum(const LineMixture& m, const double* x, double* out, std::size_t n) noexcept {
  const double* constant = side == 0 ? m.log_peak : m.log_weight;
  double top[lanes], sum[lanes];
  // The exponent of component k: of its tail when that is small, of 1 when it is not.
  const auto exponent = [&](std::size_t k, double z) noexcept {
    const double half = -0.5 * z * z;
    return constant[k] + (side == 0 || side * z < 0 ? half : 0.0);
  };
  for (std::size_t first = 0; first < n; first += lanes) {
    const std::size_t count = least(lanes, n - first);
    const double* at = x + first;
    for (std::size_t i = 0; i < count; ++i) top[i] = -largest, sum[i] = 0;
    for (std::size_t k = 0; k < m.size; ++k) {
      for (std::size_t i = 0; i < count; ++i) {
        const double e = exponent(k, (at[i] - m.mean[k]) * m.inverse[k]);
        top[i] = e > top[i] ? e : top[i];
      }
    }
    for (std::size_t k = 0; k < m.size; ++k) {
      for (std::size_t i = 0; i < count; ++i) {
        const double z = (at[i] - m.mean[k]) * m.inverse[k];
        double term = vec_exp(exponent(k, z) - top[i]);
        if (side != 0) {
          const double a = __builtin_fabs(z) < 1e20 ? __builtin_fabs(z) : 1e20;
          const double ratio = vec_mills(a);
          const double b = a < 40 ? a : 40.0;
          term *= side * z < 0 ? ratio : 1 - ratio * vec_exp(-0.5 * b * b);
        }
        sum[i] += term;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      const double y = top[i] + vec_log(sum[i]);
      const double bounded = top[i] > -largest ? y : -__builtin_inf();
      out[first + i] = at[i] == at[i] ? bounded : at[i];
    }
  }
}

// log P: from the tail itself while it is a normal number, log(1 - other tail) above one half.
template <int side>
void log_tail(const LineMixture& m, const double* x, double* out, std::size_t n) noexcept {
  double same[lanes], other[lanes];
  for (std::size_t first = 0; first < n; first += lanes) {
    const std::size_t count = least(lanes, n - first);
    tail<side>(m, x + first, same, count);
    tail<-side>(m, x + first, other, count);
    bool deep = false;
    for (std::size_t i = 0; i < count; ++i) {
      const double y = same[i] > 0.5 ? vec_log1p(-other[i]) : vec_log(same[i]);
      deep |= same[i] < 1e-290;
      same[i] = y;
    }
    if (deep) {
      log_sum<side>(m, x + first, other, count);
      for (std::size_t i = 0; i < count; ++i) same[i] = same[i] > -667 ? same[i] : other[i];
    }
    for (std::size_t i = 0; i < count; ++i) out[first + i] = same[i];
  }
}

// Halley's method on log P(x) = log w inside a bracket, for up to `lanes` points at once; points
// that are done leave the batch.
//
// The bracket is the least and the greatest of the components' own quantiles at w: there every
// component, so the mixture too, is on the right side. In the tails log P is nearly a parabola,
// which Halley's step solves to third order. A step that leaves the bracket, and every third one
// that failed to halve it, is replaced by a bisection.
int invert_block(const LineMixture& m, const double* w, const double* side, double* x,
                 std::size_t n) noexcept {
  double target[lanes], sign[lanes], at[lanes], lo[lanes], hi[lanes], width[lanes];
  double p[lanes], f[lanes], g[lanes];
  std::size_t home[lanes];
  normal_quantile_block(w, at, n);
  for (std::size_t i = 0; i < n; ++i) {
    target[i] = w[i], sign[i] = side[i], home[i] = i;
    lo[i] = largest, hi[i] = -largest;
  }
  for (std::size_t k = 0; k < m.size; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      const double q = sign[i] * m.std[k] * at[i];
      const double slack = 1e-14 * (__builtin_fabs(m.mean[k]) + __builtin_fabs(q));
      const double below = m.mean[k] + q - slack, above = m.mean[k] + q + slack;
      lo[i] = below < lo[i] ? below : lo[i];
      hi[i] = above > hi[i] ? above : hi[i];
    }
  }
  for (std::size_t i = 0; i < n; ++i) at[i] = lo[i] + 0.5 * (hi[i] - lo[i]), width[i] = largest;

  int iteration = 0;
  std::size_t active = n;
  while (active > 0 && iteration < 60) {
    ++iteration;
    tails(m, at, sign, p, f, g, active);
    for (std::size_t i = 0; i < active; ++i) {
      const double ratio = p[i] / target[i];
      const bool low_side = (p[i] < target[i]) == (sign[i] > 0);
      lo[i] = low_side ? at[i] : lo[i];
      hi[i] = low_side ? hi[i] : at[i];
      const double length = sign[i] * p[i] / f[i];  // of log P's slope; NaN or inf without density
      const double newton = vec_log(ratio) * length;
      const double bend = 0.5 * newton * (g[i] / f[i] - 1 / length);
      const double halley = newton / (1 - (bend < 0.5 ? (bend > -1 ? bend : -1.0) : 0.5));
      double next = at[i] - halley;
      const double middle = lo[i] + 0.5 * (hi[i] - lo[i]);
      const bool slow = iteration % 3 == 0 && hi[i] - lo[i] > 0.5 * width[i];
      next = next > lo[i] && next < hi[i] && !slow ? next : middle;
      if (iteration % 3 == 0) width[i] = hi[i] - lo[i];
      const bool exact = __builtin_fabs(ratio - 1) <= 2.3e-16;
      const bool stuck = !(next > lo[i] && next < hi[i]) || next == at[i];
      p[i] = exact || stuck ? 1.0 : 0.0;  // done
      at[i] = exact || stuck ? at[i] : next;
    }
    std::size_t left = 0;
    for (std::size_t i = 0; i < active; ++i) {
      x[home[i]] = at[i];
      if (p[i] == 1.0) continue;
      target[left] = target[i], sign[left] = sign[i], at[left] = at[i], home[left] = home[i];
      lo[left] = lo[i], hi[left] = hi[i], width[left] = width[i];
      ++left;
    }
    active = left;
  }
  return iteration;
}

int invert(const LineMixture& m, const double* w, const double* side, double* x,
           std::size_t n) noexcept {
  int most = 0;
  for (std::size_t i = 0; i < n; i += lanes) {
    const int iterations = invert_block(m, w + i, side + i, x + i, least(lanes, n - i));
    most = iterations > most ? iterations : most;
  }
  return most;
}

}  // namespace

template <>
const MarginalKernels& MarginalKernels::at<level_of_this_file>() noexcept {
  static constexpr MarginalKernels table{&tail<1>,         &tail<-1>,          &log_tail<1>,
                                         &log_tail<-1>,    &recouple::density, &log_sum<0>,
                                         &recouple::invert};
  return table;
}

}  // namespace recouple
