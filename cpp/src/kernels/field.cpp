#include "kernels/field.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

// Added to every variance: a component without any holds only the points at its atom, or, when all
// are like that, those nearest to it.
constexpr double no_variance = 1e-280;

constexpr std::size_t lanes = 64;  // points worked on together: their scratch stays in L1

// The interpolant at one time for all points, or at each point's own. One time is held by value, so
// that what depends on it alone leaves the loops over points.
struct OneTime {
  static constexpr bool shared = true;
  Coefficients c;
  double a(std::size_t) const noexcept { return c.a; }
  double b(std::size_t) const noexcept { return c.b; }
  double da(std::size_t) const noexcept { return c.da; }
  double db(std::size_t) const noexcept { return c.db; }
};
struct EachTime {
  static constexpr bool shared = false;
  const double *a_, *b_, *da_, *db_;
  double a(std::size_t i) const noexcept { return a_[i]; }
  double b(std::size_t i) const noexcept { return b_[i]; }
  double da(std::size_t i) const noexcept { return da_[i]; }
  double db(std::size_t i) const noexcept { return db_[i]; }
};

struct LinearTimes {  // of the linear interpolant
  static constexpr bool shared = false;
  const double* t;
  double a(std::size_t i) const noexcept { return 1 - t[i]; }
  double b(std::size_t i) const noexcept { return t[i]; }
  static constexpr double da(std::size_t) noexcept { return -1; }
  static constexpr double db(std::size_t) noexcept { return 1; }
};

// 1 / sqrt(s) to 1 ulp for s in [1e-300, 1e300], where division and square root would cost thrice
// as much: a start from the bits of s (Lomont 2003), 3.4 % off, and two steps of fourth order.
inline double reciprocal_root(double s) noexcept {
  double y =
      __builtin_bit_cast(double, 0x5fe6eb50c7b537a9 - (__builtin_bit_cast(std::uint64_t, s) >> 1));
  for (int step = 0; step < 2; ++step) {
    const double e = 1 - (s * y) * y;
    y = y + (y * e) * (0.5 + e * (0.375 + e * 0.3125));
  }
  return y;
}

// exp(x) to 1 ulp for x in [-708, 700], and exp(-708) below and for NaN: as vec_exp, with half of
// its cases. The polynomial interpolates exp in Chebyshev's points (error 2e-17).
inline double exp_within(double x) noexcept {
  constexpr double log2e = 1.4426950408889634074;
  constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  constexpr double round = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double c = x > -708.0 ? x : -708.0;
  const double shifted = c * log2e + round;
  const double k = shifted - round;
  const double r = (c - k * ln2_hi) - k * ln2_lo;
  double p = 2.5110049204818658e-08;
  p = p * r + 2.763265472252779e-07;
  p = p * r + 2.755724088722987e-06;
  p = p * r + 2.4801485441561313e-05;
  p = p * r + 0.00019841269890076403;
  p = p * r + 0.0013888888952352863;
  p = p * r + 0.008333333333319589;
  p = p * r + 0.04166666666648795;
  p = p * r + 0.1666666666666668;
  p = p * r + 0.5000000000000019;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const std::uint64_t bits = __builtin_bit_cast(std::uint64_t, shifted) + 1023;
  return p * __builtin_bit_cast(double, bits << 52);
}

// Component k of a mixture at point i: the inverse standard deviation of X_t and the slope of its
// velocity, Cov(dX_t/dt, X_t) / Var X_t; and the distance from its mean.
struct Spread {
  double inverse, slope;
};
template <class Time>
inline Spread spread(const MixtureView& m, const Time& at, std::size_t k, std::size_t i) noexcept {
  const double a = at.a(i), b = at.b(i), da = at.da(i), db = at.db(i);
  const double z0 = a * m.root00[k] + b * m.root10[k];
  const double z1 = a * m.root01[k] + b * m.root11[k];
  const double dz0 = da * m.root00[k] + db * m.root10[k];
  const double dz1 = da * m.root01[k] + db * m.root11[k];
  const double inverse = reciprocal_root(z0 * z0 + z1 * z1 + no_variance);
  return {inverse, (z0 * dz0 + z1 * dz1) * inverse * inverse};
}
template <class Time>
inline double distance(const MixtureView& m, const Time& at, const double* x, std::size_t k,
                       std::size_t i) noexcept {
  return x[i] - (at.a(i) * m.mean0[k] + at.b(i) * m.mean1[k]);
}

// Two passes over a few components at a time: the smallest exponent at each point, then the
// weighted sums relative to it, so that far tails neither underflow to 0/0 nor lose the dominant
// component. With u_k the velocity, A_k its slope and s_k = -d_k / S_k the score in component k,
// the derivative of v = sum r_k u_k is sum r_k A_k + sum r_k s_k (u_k - v); it is summed about a
// reference velocity (that of the mean) so that nothing cancels.
template <bool with_div, class Time>
void mixture_block(const MixtureView& m, const Time at, const double* __restrict x,
                   double* __restrict v, double* __restrict div, std::size_t n) noexcept {
  constexpr std::size_t together = 8;
  double least[lanes], mass[lanes], flux[lanes], slope_sum[lanes], score[lanes], cross[lanes];
  double exponent[together][lanes];
  double inverse[together][lanes], slope[together][lanes];  // at one time, worked out anew
  for (std::size_t i = 0; i < n; ++i) {
    least[i] = __builtin_inf(), mass[i] = flux[i] = 0;
    if (with_div) slope_sum[i] = score[i] = cross[i] = 0;
  }
  for (std::size_t first = 0; first < m.size; first += together) {
    const std::size_t count = m.size - first < together ? m.size - first : together;
    double before[lanes];
    for (std::size_t i = 0; first > 0 && i < n; ++i) before[i] = least[i];
    for (std::size_t j = 0; j < count; ++j) {
      for (std::size_t i = 0; i < n; ++i) {
        const Spread here = spread(m, at, first + j, i);
        const double d = distance(m, at, x, first + j, i) * here.inverse;
        const double q = 0.5 * d * d;
        if (!Time::shared) inverse[j][i] = here.inverse, slope[j][i] = here.slope;
        exponent[j][i] = q;
        least[i] = q < least[i] ? q : least[i];
      }
    }
    std::uint64_t moved = 0;
    for (std::size_t i = 0; first > 0 && i < n; ++i) moved += least[i] < before[i] ? 1 : 0;
    if (moved > 0) {
      for (std::size_t i = 0; i < n; ++i) {
        // A point so far away that all exponents were infinite has sums of NaN: it stays that way.
        const double scale = before[i] < __builtin_inf() ? exp_within(least[i] - before[i]) : 1;
        mass[i] *= scale, flux[i] *= scale;
        if (with_div) slope_sum[i] *= scale, score[i] *= scale, cross[i] *= scale;
      }
    }
    // A few components whose exponents are not too far apart are taken relative to the first of
    // them, which then needs no exponential.
    std::uint64_t far = m.size > together ? 1 : 0;  // integers, because their sums vectorise
    if (far == 0) {
      for (std::size_t i = 0; i < n; ++i) far += exponent[0][i] - least[i] < 600 ? 0 : 1;
    }
    const bool relative = far == 0;
    const double* base = relative ? exponent[0] : least;
    const auto add = [&](std::size_t j, auto share) noexcept {
      const std::size_t k = first + j;
      const double weight = m.weight[k];
      for (std::size_t i = 0; i < n; ++i) {
        const Spread here = Time::shared ? spread(m, at, k, i) : Spread{inverse[j][i], slope[j][i]};
        const double d = distance(m, at, x, k, i);
        const double e = weight * here.inverse * share(j, i);
        const double u = at.da(i) * m.mean0[k] + at.db(i) * m.mean1[k] + here.slope * d;
        mass[i] += e;
        flux[i] += e * u;
        if (with_div) {
          const double pull = here.inverse * here.inverse * d;
          slope_sum[i] += e * here.slope;
          score[i] -= e * pull;
          cross[i] -= e * pull * u;
        }
      }
    };
    if (relative) add(0, [](std::size_t, std::size_t) noexcept { return 1.0; });
    for (std::size_t j = relative ? 1 : 0; j < count; ++j) {
      add(j, [&](std::size_t of, std::size_t i) noexcept {
        return exp_within(base[i] - exponent[of][i]);
      });
    }
  }
  for (std::size_t i = 0; i < n; ++i) v[i] = flux[i] / mass[i];
  if (with_div) {
    for (std::size_t i = 0; i < n; ++i) {
      div[i] = (slope_sum[i] + (cross[i] - v[i] * score[i])) / mass[i];
    }
  }
}

template <class Time>
void mixture_blocks(const MixtureView& m, const Time& at, const double* x, double* v, double* div,
                    std::size_t n) noexcept {
  if (div != nullptr) {
    mixture_block<true>(m, at, x, v, div, n);
  } else {
    mixture_block<false>(m, at, x, v, div, n);
  }
}

void mixture_velocity(const MixtureView& m, const Coefficients& c, const double* x, double* v,
                      double* div, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    mixture_blocks(m, OneTime{c}, x + i, v + i, div != nullptr ? div + i : nullptr,
                   n - i < lanes ? n - i : lanes);
  }
}

void mixture_velocity_each(const MixtureView& m, const double* a, const double* b, const double* da,
                           const double* db, const double* x, double* v, double* div,
                           std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    mixture_blocks(m, EachTime{a + i, b + i, da + i, db + i}, x + i, v + i,
                   div != nullptr ? div + i : nullptr, n - i < lanes ? n - i : lanes);
  }
}

void mixture_velocity_linear(const MixtureView& m, const double* t, const double* x, double* v,
                             double* div, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    mixture_blocks(m, LinearTimes{t + i}, x + i, v + i, div != nullptr ? div + i : nullptr,
                   n - i < lanes ? n - i : lanes);
  }
}

// Points side by side, grid lines outside, in three loops: where each point crosses the line, the
// four spline coefficients there (the only loop that does not vectorise), and the sums. Crossings
// outside the grid or where the spline undershoots weigh nothing.
template <bool with_slopes>
void grid_lines_block(const GridLines& g, const double* x, double* density, double* flux,
                      double* density_slope, double* flux_slope, std::size_t n) noexcept {
  double mass[lanes], moment[lanes], mass_slope[lanes], moment_slope[lanes];
  double u[lanes], s0[lanes], s1[lanes], s2[lanes], s3[lanes];
  int cell[lanes];
  for (std::size_t i = 0; i < lanes; ++i) {
    mass[i] = moment[i] = mass_slope[i] = moment_slope[i] = u[i] = 0;
    s0[i] = s1[i] = s2[i] = s3[i] = 0;
    cell[i] = 0;
  }
  const double inverse = 1 / g.steep, inverse_h = 1 / g.spacing;
  const double last = static_cast<double>(g.points - 1);
  const double last_cell = static_cast<double>(g.points - 2);
  for (std::size_t j = 0; j < g.lines; ++j) {
    const double y = g.first_line + static_cast<double>(j) * g.line_spacing;
    const double* line = g.spline + j * (g.points + 2);
    for (std::size_t i = 0; i < n; ++i) {
      u[i] = ((x[i] - g.flat * y) * inverse - g.first) * inverse_h;
      double clipped = u[i] > 0 ? u[i] : 0;
      clipped = clipped < last_cell ? clipped : last_cell;
      cell[i] = static_cast<int>(clipped);
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double* s = line + cell[i];
      s0[i] = s[0], s1[i] = s[1], s2[i] = s[2], s3[i] = s[3];
    }
    for (std::size_t i = 0; i < lanes; ++i) {
      const double f = u[i] - static_cast<double>(cell[i]), h = 1 - f;
      const double rho = h * h * h * s0[i] + (4 - 3 * f * f * (1 + h)) * s1[i] +
                         (4 - 3 * h * h * (1 + f)) * s2[i] + f * f * f * s3[i];
      const double above = rho > 0 ? rho : 0;
      const double low = u[i] >= 0 ? above : 0;
      const double r = u[i] <= last ? low : 0;
      const double rate = g.steep_rate * (g.first + u[i] * g.spacing) + g.flat_rate * y;
      mass[i] += r;
      moment[i] += r * rate;
      if (with_slopes) {
        const double slope = 3 * (f * f * (s3[i] - s2[i]) + h * h * (s1[i] - s0[i])) +
                             3 * (1 + 2 * f * h) * (s2[i] - s1[i]);
        const double rs = r > 0 ? slope * inverse_h * inverse : 0;
        mass_slope[i] += rs;
        moment_slope[i] += rs * rate + r * g.steep_rate * inverse;
      }
    }
  }
  const double scale = g.line_spacing * (inverse < 0 ? -inverse : inverse) / 6;
  for (std::size_t i = 0; i < n; ++i) {
    density[i] = scale * mass[i];
    flux[i] = scale * moment[i];
    if (with_slopes) {
      density_slope[i] = scale * mass_slope[i];
      flux_slope[i] = scale * moment_slope[i];
    }
  }
}

void grid_lines(const GridLines& g, const double* x, double* density, double* flux, double* slopes,
                std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    const std::size_t count = n - i < lanes ? n - i : lanes;
    if (slopes != nullptr) {
      grid_lines_block<true>(g, x + i, density + i, flux + i, slopes + i, slopes + n + i, count);
    } else {
      grid_lines_block<false>(g, x + i, density + i, flux + i, nullptr, nullptr, count);
    }
  }
}

}  // namespace

template <>
const FieldKernels& FieldKernels::at<level_of_this_file>() noexcept {
  static constexpr FieldKernels table{&recouple::mixture_velocity, &recouple::mixture_velocity_each,
                                      &recouple::mixture_velocity_linear, &recouple::grid_lines};
  return table;
}

}  // namespace recouple
