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

// The number of increasing values below x.
inline std::size_t count_less(const double* values, std::size_t n, double x) noexcept {
  std::size_t first = 0;
  while (n > 0) {
    const std::size_t half = n / 2;
    const bool less = values[first + half] < x;
    first = less ? first + half + 1 : first;
    n = less ? n - half - 1 : half;
  }
  return first;
}

// Tail, density and slope of a sorted mixture at one point. Components further than c standard
// deviations off count as 0 or 1: with c^2 = d^2 + 2 (40 + log(1 / least weight)), d the distance
// of the nearest, what they are off by is below 1e-17 of the sum.
inline void sorted_tail(const LineMixture& m, double x, double side, double* p, double* f,
                        double* g) noexcept {
  const double s = m.least_std, inverse = m.inverse[0], inverse_low = m.inverse_low[0];
  const std::size_t next = count_less(m.mean, m.size, x);
  const double up = next < m.size ? m.mean[next] - x : largest;
  const double down = next > 0 ? x - m.mean[next - 1] : largest;
  double d = (up < down ? up : down) * inverse;
  d = d < 40 ? d : 40.0;
  const double reach = s * __builtin_sqrt(d * d + 2 * (40 - m.log_least_weight));
  const std::size_t from = count_less(m.mean, m.size, x - reach) / 8 * 8;
  const std::size_t rough = (count_less(m.mean, m.size, x + reach) + 7) / 8 * 8;
  const std::size_t to = rough < m.size ? rough : m.size;
  double sum[8], low[8], density[8], slope[8];
  for (std::size_t j = 0; j < 8; ++j) sum[j] = low[j] = density[j] = slope[j] = 0;
  for (std::size_t k = from; k < to; k += 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      const Two z = standardise(x, m.mean[k + j], inverse, inverse_low);
      const double a = __builtin_fabs(z.hi) < 40 ? __builtin_fabs(z.hi) : 40.0;
      const double e = vec_gauss({a, __builtin_copysign(1.0, z.hi) * z.lo});
      const double q = e * vec_mills(a);
      const Two total = two_sum(sum[j], m.weight[k + j] * (side * z.hi > 0 ? 1 - q : q));
      sum[j] = total.hi;
      low[j] += total.lo;
      const double part = m.peak[k + j] * e;
      density[j] += part;
      slope[j] -= part * (z.hi * inverse);
    }
  }
  Two total{side > 0 ? m.left[from] : m.right[to], 0};
  *f = *g = 0;
  for (std::size_t j = 0; j < 8; ++j) {
    const Two t = two_sum(total.hi, sum[j]);
    total = {t.hi, total.lo + t.lo + low[j]};
    *f += density[j];
    *g += slope[j];
  }
  *p = total.hi + total.lo;
}

// Tail probabilities p, densities f and their slopes g = f' at n <= lanes points; side +1 for lower
// tails, -1 for upper ones. The sum over components is compensated.
inline void tails(const LineMixture& m, const double* x, const double* side, double* p, double* f,
                  double* g, std::size_t n) noexcept {
  if (m.left != nullptr) {
    for (std::size_t i = 0; i < n; ++i) sorted_tail(m, x[i], side[i], &p[i], &f[i], &g[i]);
    return;
  }
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
  if (m.left != nullptr) {
    for (std::size_t i = 0; i < n; ++i) {
      double p, f, g;
      sorted_tail(m, x[i], side, &p, &f, &g);
      out[i] = x[i] == x[i] ? (p < 1 ? p : 1.0) : x[i];
    }
    return;
  }
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
  if (m.left != nullptr) {
    for (std::size_t i = 0; i < n; ++i) {
      double p, f, g;
      sorted_tail(m, x[i], 1.0, &p, &f, &g);
      out[i] = x[i] == x[i] ? f : x[i];
    }
    return;
  }
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

// log density: from the density while it is a normal number.
void log_density(const LineMixture& m, const double* x, double* out, std::size_t n) noexcept {
  double f[lanes], far[lanes];
  for (std::size_t first = 0; first < n; first += lanes) {
    const std::size_t count = least(lanes, n - first);
    density(m, x + first, f, count);
    bool deep = false;
    for (std::size_t i = 0; i < count; ++i) deep |= f[i] < 1e-290;
    if (deep) log_sum<0>(m, x + first, far, count);
    for (std::size_t i = 0; i < count; ++i) {
      const double y = vec_log(f[i]);
      out[first + i] = f[i] < 1e-290 ? far[i] : y;
    }
  }
}

// Normal scores Phi^-1(P(X <= x)) of n <= lanes points, from the smaller tail, and dx/dscore.
void survey_block(const LineMixture& m, const double* x, double* score, double* slope,
                  std::size_t n) noexcept {
  double side[lanes], p[lanes], f[lanes], g[lanes], at[lanes];
  for (std::size_t i = 0; i < n; ++i) at[i] = x[i], side[i] = 1;
  tails(m, at, side, p, f, g, n);
  for (std::size_t i = 0; i < n; ++i) side[i] = p[i] > 0.5 ? -1.0 : 1.0;
  tails(m, at, side, p, f, g, n);
  for (std::size_t i = 0; i < n; ++i) p[i] = p[i] < 0.5 ? p[i] : 0.5;
  normal_quantile_block(p, g, n);
  for (std::size_t i = 0; i < n; ++i) {
    score[i] = side[i] * g[i];
    slope[i] = vec_exp(-0.5 * g[i] * g[i]) * 0.39894228040143267794 / f[i];
  }
}

void survey(const LineMixture& m, const double* x, double* score, double* slope,
            std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    survey_block(m, x + i, score + i, slope + i, least(lanes, n - i));
  }
}

// The number of landmarks whose score is below the point's, for n <= lanes points. With the scores
// at hand (padded by infinities to a power of two less one) this is a branch-free bisection;
// without them each probe is worked out.
void count_below(const LineMixture& m, const Landmarks& marks, const double* score,
                 std::size_t* count, std::size_t n) noexcept {
  std::size_t top = 1;
  while (2 * top <= marks.size) top *= 2;
  for (std::size_t i = 0; i < n; ++i) count[i] = 0;
  if (marks.score != nullptr) {
    for (std::size_t step = top; step > 0; step /= 2) {
      const double* probe = marks.score + (step - 1);
      for (std::size_t i = 0; i < n; ++i) count[i] += probe[count[i]] < score[i] ? step : 0;
    }
    return;
  }
  double x[lanes], found[lanes], slope[lanes];
  for (std::size_t step = top; step > 0; step /= 2) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t next = count[i] + step;
      x[i] = marks.x[next <= marks.size ? next - 1 : 0];
    }
    survey_block(m, x, found, slope, n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t next = count[i] + step;
      count[i] = next <= marks.size && found[i] < score[i] ? next : count[i];
    }
  }
}

// Beyond the landmarks: the bracket from the components' own quantiles. At the least (greatest) of
// them at w every component, so the mixture too, has less (more) than its share; and no component
// may hold more than w by itself, which is nearly the answer where one component dominates.
void bracket_by_components(const LineMixture& m, double w, double side, double score, double* lo,
                           double* hi) noexcept {
  double near = largest, far = largest;  // distances to walk outwards from 0 on the tail's side
  for (std::size_t first = 0; first < m.size; first += 256) {
    double q[256];
    const std::size_t count = least(256, m.size - first);
    for (std::size_t k = 0; k < count; ++k) {
      const double share = m.weight[first + k] > 0 ? w / m.weight[first + k] : 1.0;
      q[k] = share < 1 ? share : 1 - 1e-16;
    }
    normal_quantile_block(q, q, count);
    for (std::size_t k = 0; k < count; ++k) {
      const double mean = side * m.mean[first + k], std = m.std[first + k];
      const double all = mean + std * score, alone = mean + std * q[k];
      const double slack =
          1e-14 * (__builtin_fabs(mean) + std * (__builtin_fabs(score) + __builtin_fabs(q[k])));
      far = all - slack < far ? all - slack : far;
      near = alone + slack < near ? alone + slack : near;
    }
  }
  // In the mirrored coordinate side * x the root lies in [far, near].
  if (side > 0) {
    *lo = far > *lo ? far : *lo;
    *hi = near < *hi ? near : *hi;
  } else {
    *lo = -near > *lo ? -near : *lo;
    *hi = -far < *hi ? -far : *hi;
  }
}

// The cubic in the normal score with two landmarks' values and slopes (bounded, so that it
// increases), at the score t of the way between them.
inline double between(double x0, double x1, double slope0, double slope1, double dz,
                      double t) noexcept {
  const double rise = x1 - x0, steepest = 3 * rise, r = 1 - t;
  const double s0 = slope0 * dz < steepest ? slope0 * dz : steepest;
  const double s1 = slope1 * dz < steepest ? slope1 * dz : steepest;
  const double guess = x0 + rise * (t * t * (3 - 2 * t)) + t * r * (s0 * r - s1 * t);
  const double middle = x0 + 0.5 * rise;
  return (guess > x0) & (guess < x1) ? guess : middle;
}

// Brackets and first guesses for n <= lanes points: between landmarks by the cubic, beyond them by
// components. Scores are good to a few 1e-16; a score nearer to a landmark's than `slack` counts as
// both above and below it, so that the bracket holds.
void start(const LineMixture& m, const Landmarks& marks, const double* w, const double* side,
           double* x, double* lo, double* hi, std::size_t n) noexcept {
  constexpr double slack = 1e-12;
  double score[lanes], lowered[lanes], settled[lanes];
  std::size_t below[lanes];
  normal_quantile_block(w, score, n);
  for (std::size_t i = 0; i < n; ++i) {
    score[i] *= side[i];
    lowered[i] = score[i] - slack * (1 + __builtin_fabs(score[i]));
    settled[i] = 0;
  }
  count_below(m, marks, lowered, below, n);
  if (marks.score != nullptr) {
    for (std::size_t i = 0; i < n; ++i) {
      const bool inner = (below[i] > 0) & (below[i] < marks.size);
      const std::size_t j = inner ? below[i] : 1;
      const double z0 = marks.score[j - 1], z1 = marks.score[j], dz = z1 - z0;
      const double x0 = marks.x[j - 1], x1 = marks.x[j];
      lo[i] = x0, hi[i] = x1;
      x[i] = between(x0, x1, marks.slope[j - 1], marks.slope[j], dz, (score[i] - z0) / dz);
      settled[i] = inner & (z1 > score[i] + (score[i] - lowered[i])) ? 1.0 : 0.0;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (settled[i] == 1.0) continue;
    const double raised = score[i] + (score[i] - lowered[i]);
    std::size_t above = below[i];
    double a[2] = {0, 0}, z[2] = {0, 0}, slope[2] = {0, 0};
    const auto look = [&](std::size_t j, int end) noexcept {
      a[end] = marks.x[j];
      if (marks.score != nullptr) {
        z[end] = marks.score[j], slope[end] = marks.slope[j];
      } else {
        survey_block(m, &a[end], &z[end], &slope[end], 1);
      }
    };
    for (; above < marks.size; ++above) {
      look(above, 1);
      if (z[1] > raised) break;
    }
    lo[i] = below[i] > 0 ? marks.x[below[i] - 1] : -largest;
    hi[i] = above < marks.size ? a[1] : largest;
    if (below[i] == 0 || above == marks.size) {
      bracket_by_components(m, w[i], side[i], side[i] * score[i], &lo[i], &hi[i]);
      x[i] = side[i] > 0 ? hi[i] : lo[i];
      continue;
    }
    look(below[i] - 1, 0);
    x[i] = between(a[0], a[1], slope[0], slope[1], z[1] - z[0], (score[i] - z[0]) / (z[1] - z[0]));
  }
}

// Halley's method on log P(x) = log w inside a bracket, for up to `lanes` points at once; points
// that are done leave the batch.
//
// In the tails log P is nearly a parabola, which Halley's step solves to third order. A step that
// leaves the bracket is replaced by a bisection, and so is every third one if the bracket has not
// halved since. A step d is the last, unchecked, when its error, at most d (40 d / s)^2 with s the
// least standard deviation, moves log P by less than a tenth of an ulp.
int invert_block(const LineMixture& m, const Landmarks& marks, const double* w, const double* side,
                 double* x, std::size_t n) noexcept {
  double target[lanes], sign[lanes], at[lanes], lo[lanes], hi[lanes], width[lanes];
  double p[lanes], f[lanes], g[lanes], done[lanes];
  std::size_t home[lanes];
  for (std::size_t i = 0; i < n; ++i) {
    target[i] = w[i], sign[i] = side[i], home[i] = i, width[i] = largest;
  }
  start(m, marks, target, sign, at, lo, hi, n);

  const double scale = 1600 / (m.least_std * m.least_std);
  int iteration = 0;
  std::size_t active = n;
  while (active > 0 && iteration < 60) {
    ++iteration;
    const std::size_t padded =
        (active + 7) / 8 * 8;  // whole vectors: no lane is rounded another way
    for (std::size_t i = active; i < padded; ++i) {
      at[i] = at[active - 1], sign[i] = sign[active - 1], target[i] = target[active - 1];
      lo[i] = lo[active - 1], hi[i] = hi[active - 1], width[i] = width[active - 1];
    }
    tails(m, at, sign, p, f, g, padded);
    const double patience = iteration % 3 == 0 ? 0.5 : __builtin_inf();
    for (std::size_t i = 0; i < padded; ++i) {
      const double ratio = p[i] / target[i];
      const double excess = sign[i] * (p[i] - target[i]);
      const double low = excess < 0 ? at[i] : lo[i], high = excess < 0 ? hi[i] : at[i];
      const double hazard = sign[i] * f[i] / p[i];  // slope of log P; zero or NaN without density
      const double residual = vec_log(ratio);
      const double newton = residual / hazard;
      const double bend = 0.5 * newton * (g[i] / f[i] - hazard);
      const double bent = bend > -1 ? bend : -1.0;
      const double step = newton / (1 - (bent < 0.5 ? bent : 0.5));
      const double halley = at[i] - step;
      const double middle = low + 0.5 * (high - low);
      const double lifted = halley > low ? halley : low;
      const double held = lifted < high ? lifted : high;
      const bool inside = (halley > low) & (halley < high) & !(high - low > patience * width[i]);
      const bool last = __builtin_fabs(residual) * (step * step * scale) < 2e-17;
      const bool still =
          (__builtin_fabs(ratio - 1) <= 2.3e-16) | !((middle > low) & (middle < high));
      const double next = last ? held : (inside ? halley : middle);
      at[i] = still ? at[i] : next;
      done[i] = still | last ? 1.0 : 0.0;
      lo[i] = low, hi[i] = high;
    }
    if (patience < 1) {
      for (std::size_t i = 0; i < padded; ++i) width[i] = hi[i] - lo[i];
    }
    std::size_t left = 0;
    for (std::size_t i = 0; i < active; ++i) {
      x[home[i]] = at[i];
      target[left] = target[i], sign[left] = sign[i], at[left] = at[i], home[left] = home[i];
      lo[left] = lo[i], hi[left] = hi[i], width[left] = width[i];
      left += done[i] == 0.0 ? 1u : 0u;
    }
    active = left;
  }
  return iteration;
}

int invert(const LineMixture& m, const Landmarks& marks, const double* w, const double* side,
           double* x, std::size_t n) noexcept {
  int most = 0;
  for (std::size_t i = 0; i < n; i += lanes) {
    const int iterations = invert_block(m, marks, w + i, side + i, x + i, least(lanes, n - i));
    most = iterations > most ? iterations : most;
  }
  return most;
}

}  // namespace

template <>
const MarginalKernels& MarginalKernels::at<level_of_this_file>() noexcept {
  static constexpr MarginalKernels table{&tail<1>,           &tail<-1>,
                                         &log_tail<1>,       &log_tail<-1>,
                                         &recouple::density, &recouple::log_density,
                                         &recouple::survey,  &recouple::invert};
  return table;
}

}  // namespace recouple
