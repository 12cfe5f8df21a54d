#include "recouple/field.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/field.hpp"

namespace recouple {
namespace {

MixtureView view(const MixturePlan& p) noexcept {
  return {p.size(),       p.weights.data(), p.mean0.data(), p.mean1.data(),
          p.cov00.data(), p.cov01.data(),   p.cov11.data()};
}

// Coefficients c of the cubic B-spline through y (zero beyond both ends): the solution of
// (c[i-1] + 4 c[i] + c[i+1]) / 6 = y[i], by elimination of the tridiagonal system.
void spline_coefficients(std::span<const double> y, std::span<double> c) {
  const std::size_t n = y.size();
  std::vector<double> ratio(n);
  double previous = 0, previous_ratio = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double pivot = 4 - previous_ratio;
    previous = c[i] = (6 * y[i] - previous) / pivot;
    previous_ratio = ratio[i] = 1 / pivot;
  }
  for (std::size_t i = n - 1; i-- > 0;) c[i] -= ratio[i] * c[i + 1];
}

}  // namespace

void MixtureField::operator()(double t, std::span<const double> x,
                              std::span<double> v) const noexcept {
  kernels<FieldKernels>().mixture_velocity(view(plan_), coefficients(interpolant_, t), x.data(),
                                           v.data(), x.size());
}

void MixtureField::operator()(std::span<const double> t, std::span<const double> x,
                              std::span<double> v) const noexcept {
  constexpr std::size_t block = 256;
  std::array<double, block> a, b, da, db;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    for (std::size_t i = 0; i < n; ++i) {
      const Coefficients c = coefficients(interpolant_, t[first + i]);
      a[i] = c.a, b[i] = c.b, da[i] = c.da, db[i] = c.db;
    }
    kernels<FieldKernels>().mixture_velocity_each(view(plan_), a.data(), b.data(), da.data(),
                                                  db.data(), x.data() + first, v.data() + first, n);
  }
}

GridPlanField::GridPlanField(const GridPlan& plan, Interpolant interpolant)
    : n0_(plan.x0.size()),
      n1_(plan.x1.size()),
      x0_(plan.x0.front()),
      x1_(plan.x1.front()),
      h0_(plan.spacing0()),
      h1_(plan.spacing1()),
      mean0_(0),
      mean1_(0),
      interpolant_(interpolant),
      along0_(n1_ * (n0_ + 2), 0.0),
      along1_(n0_ * (n1_ + 2), 0.0) {
  const double cell = h0_ * h1_;
  std::vector<double> column(n0_), row(n1_);
  for (std::size_t i = 0; i < n0_; ++i) {
    for (std::size_t j = 0; j < n1_; ++j) {
      const double m = plan.mass[i * n1_ + j];
      mean0_ += m * plan.x0[i];
      mean1_ += m * plan.x1[j];
      row[j] = m / cell;
    }
    spline_coefficients(row, std::span(along1_).subspan(i * (n1_ + 2) + 1, n1_));
  }
  for (std::size_t j = 0; j < n1_; ++j) {
    for (std::size_t i = 0; i < n0_; ++i) column[i] = plan.mass[i * n1_ + j] / cell;
    spline_coefficients(column, std::span(along0_).subspan(j * (n0_ + 2) + 1, n0_));
  }
}

// Calls out(index, density, flux) for each point. With |a| >= |b| the line through x is walked
// along the grid lines of x1, where x0 = (x - b x1) / a falls between grid points and is
// interpolated; otherwise the roles are exchanged.
template <class Out>
void GridPlanField::integrate_lines(double t, std::span<const double> x, Out out) const noexcept {
  const Coefficients c = coefficients(interpolant_, t);
  const bool walk1 = std::abs(c.a) >= std::abs(c.b);
  const double steep = walk1 ? c.a : c.b, flat = walk1 ? c.b : c.a;
  const double steep_rate = walk1 ? c.da : c.db, flat_rate = walk1 ? c.db : c.da;
  const double steep_first = walk1 ? x0_ : x1_, steep_h = walk1 ? h0_ : h1_;
  const double flat_first = walk1 ? x1_ : x0_, flat_h = walk1 ? h1_ : h0_;
  const std::size_t steep_n = walk1 ? n0_ : n1_, flat_n = walk1 ? n1_ : n0_;
  const std::vector<double>& spline = walk1 ? along0_ : along1_;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double density = 0, flux = 0;
    for (std::size_t j = 0; j < flat_n; ++j) {
      const double y = flat_first + double(j) * flat_h;
      const double z = (x[i] - flat * y) / steep;
      const double u = (z - steep_first) / steep_h;
      if (!(u >= 0 && u < double(steep_n - 1))) continue;
      const auto cell = static_cast<std::size_t>(u);
      const double f = u - double(cell), g = 1 - f;
      const double* s = &spline[j * (steep_n + 2) + cell];
      const double rho = (g * g * g * s[0] + (4 - 3 * f * f * (1 + g)) * s[1] +
                          (4 - 3 * g * g * (1 + f)) * s[2] + f * f * f * s[3]) /
                         6;
      if (rho <= 0) continue;  // the spline may undershoot where the density falls off a cliff
      density += rho;
      flux += rho * (steep_rate * z + flat_rate * y);
    }
    const double scale = flat_h / std::abs(steep);
    out(i, scale * density, scale * flux);
  }
}

void GridPlanField::operator()(double t, std::span<const double> x,
                               std::span<double> v) const noexcept {
  const Coefficients c = coefficients(interpolant_, t);
  const double mean_velocity = c.da * mean0_ + c.db * mean1_;
  integrate_lines(t, x, [&](std::size_t i, double density, double flux) noexcept {
    v[i] = density > 0 ? flux / density : (std::isfinite(x[i]) ? mean_velocity : x[i]);
  });
}

void GridPlanField::density(double t, std::span<const double> x,
                            std::span<double> p) const noexcept {
  integrate_lines(t, x, [&](std::size_t i, double density, double) noexcept { p[i] = density; });
}

AnyField velocity_field(const MixturePlan& plan, Interpolant interpolant) {
  return MixtureField(plan, interpolant);
}
AnyField velocity_field(const GridPlan& plan, Interpolant interpolant) {
  return GridPlanField(plan, interpolant);
}

}  // namespace recouple
