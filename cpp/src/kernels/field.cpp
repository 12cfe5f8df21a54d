#include "kernels/field.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

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
// relative to it, so that far tails neither underflow to 0/0 nor lose the dominant component.
template <class Time>
void mixture_block(const MixtureView& m, const Time& at, const double* x, double* v,
                   std::size_t n) noexcept {
  double least[lanes], mass[lanes], flux[lanes];
  for (std::size_t i = 0; i < n; ++i) least[i] = __builtin_inf(), mass[i] = 0, flux[i] = 0;
  for (std::size_t k = 0; k < m.size; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      const double a = at.a(i), b = at.b(i);
      const double s = a * a * m.cov00[k] + 2 * a * b * m.cov01[k] + b * b * m.cov11[k];
      const double d = x[i] - (a * m.mean0[k] + b * m.mean1[k]);
      const double q = 0.5 * d * d / s;
      least[i] = q < least[i] ? q : least[i];
    }
  }
  for (std::size_t k = 0; k < m.size; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      const double a = at.a(i), b = at.b(i), da = at.da(i), db = at.db(i);
      const double s = a * a * m.cov00[k] + 2 * a * b * m.cov01[k] + b * b * m.cov11[k];
      const double slope =
          a * da * m.cov00[k] + (a * db + da * b) * m.cov01[k] + b * db * m.cov11[k];
      const double d = x[i] - (a * m.mean0[k] + b * m.mean1[k]);
      const double inverse = 1 / s;
      const double e =
          m.weight[k] * __builtin_sqrt(inverse) * vec_exp(least[i] - 0.5 * d * d * inverse);
      mass[i] += e;
      flux[i] += e * (da * m.mean0[k] + db * m.mean1[k] + slope * inverse * d);
    }
  }
  for (std::size_t i = 0; i < n; ++i) v[i] = flux[i] / mass[i];
}

void mixture_velocity(const MixtureView& m, const Coefficients& c, const double* x, double* v,
                      std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    mixture_block(m, OneTime{c}, x + i, v + i, n - i < lanes ? n - i : lanes);
  }
}

void mixture_velocity_each(const MixtureView& m, const double* a, const double* b, const double* da,
                           const double* db, const double* x, double* v, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; i += lanes) {
    mixture_block(m, EachTime{a + i, b + i, da + i, db + i}, x + i, v + i,
                  n - i < lanes ? n - i : lanes);
  }
}

}  // namespace

template <>
const FieldKernels& FieldKernels::at<level_of_this_file>() noexcept {
  static constexpr FieldKernels table{&recouple::mixture_velocity,
                                      &recouple::mixture_velocity_each};
  return table;
}

}  // namespace recouple
