#include "kernels/field.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

// Added to every variance: a component without any holds only the points at its atom, or, when all
// are like that, those nearest to it.
constexpr double no_variance = 1e-280;

constexpr std::size_t lanes = 64;  // points worked on together: their scratch stays in L1

// The interpolant at one time for all points, or at each point's own.
struct OneTime {
  const Coefficients& c;
  double a(std::size_t) const noexcept { return c.a; }
  double b(std::size_t) const noexcept { return c.b; }
  double da(std::size_t) const noexcept { return c.da; }
  double db(std::size_t) const noexcept { return c.db; }
};
struct EachTime {
  const double *a_, *b_, *da_, *db_;
  double a(std::size_t i) const noexcept { return a_[i]; }
  double b(std::size_t i) const noexcept { return b_[i]; }
  double da(std::size_t i) const noexcept { return da_[i]; }
  double db(std::size_t i) const noexcept { return db_[i]; }
};

// Two passes over the components: the smallest exponent at each point, then the weighted sums
// relative to it, so that far tails neither underflow to 0/0 nor lose the dominant component. With
// u_k the velocity, A_k its slope and s_k = -d_k / S_k the score in component k, the derivative of
// v = sum r_k u_k is sum r_k A_k + sum r_k s_k (u_k - v); it is summed about a reference velocity
// (that of the mean) so that nothing cancels.
template <bool with_div, class Time>
void mixture_block(const MixtureView& m, const Time& at, const double* x, double* v, double* div,
                   std::size_t n) noexcept {
  double least[lanes], mass[lanes], flux[lanes], slope_sum[lanes], score[lanes], cross[lanes];
  for (std::size_t i = 0; i < n; ++i) {
    least[i] = __builtin_inf(), mass[i] = flux[i] = slope_sum[i] = score[i] = cross[i] = 0;
  }
  for (std::size_t k = 0; k < m.size; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      const double a = at.a(i), b = at.b(i);
      const double z0 = a * m.root00[k] + b * m.root10[k];
      const double z1 = a * m.root01[k] + b * m.root11[k];
      const double s = z0 * z0 + z1 * z1 + no_variance;
      const double d = x[i] - (a * m.mean0[k] + b * m.mean1[k]);
      const double q = 0.5 * d * d / s;
      least[i] = q < least[i] ? q : least[i];
    }
  }
  for (std::size_t k = 0; k < m.size; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      const double a = at.a(i), b = at.b(i), da = at.da(i), db = at.db(i);
      const double z0 = a * m.root00[k] + b * m.root10[k];
      const double z1 = a * m.root01[k] + b * m.root11[k];
      const double s = z0 * z0 + z1 * z1 + no_variance;
      const double cov =
          z0 * (da * m.root00[k] + db * m.root10[k]) + z1 * (da * m.root01[k] + db * m.root11[k]);
      const double d = x[i] - (a * m.mean0[k] + b * m.mean1[k]);
      const double inverse = 1 / s;
      const double e =
          m.weight[k] * __builtin_sqrt(inverse) * vec_exp(least[i] - 0.5 * d * d * inverse);
      const double slope = cov * inverse;
      const double u = da * m.mean0[k] + db * m.mean1[k] + slope * d;
      mass[i] += e;
      flux[i] += e * u;
      if (with_div) {
        slope_sum[i] += e * slope;
        score[i] -= e * inverse * d;
        cross[i] -= e * inverse * d * u;
      }
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
                                      &recouple::grid_lines};
  return table;
}

}  // namespace recouple
