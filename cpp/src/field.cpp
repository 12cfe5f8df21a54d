#include "recouple/field.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/field.hpp"
#include "recouple/field_dataset.hpp"
#include "recouple/field_mixture.hpp"

namespace recouple {
namespace {

constexpr std::size_t block = 256;  // points whose scratch lives on the stack

GridLines lines_at(const GridDensity& g, const Coefficients& c) noexcept {
  // With |a| >= |b| the line through x is walked along the grid lines of x1, where
  // x0 = (x - b x1) / a falls between grid points; otherwise the roles are exchanged.
  if (std::abs(c.a) >= std::abs(c.b)) {
    return {g.along0.data(), g.n0, g.n1, c.a, c.b, c.da, c.db, g.x0, g.h0, g.x1, g.h1};
  }
  return {g.along1.data(), g.n1, g.n0, c.b, c.a, c.db, c.da, g.x1, g.h1, g.x0, g.h0};
}

}  // namespace

MixtureField::MixtureField(const MixturePlan& plan, Interpolant interpolant)
    : weight_(plan.weights), root_(4 * plan.size()), interpolant_(std::move(interpolant)) {
  for (std::size_t k = 0; k < plan.size(); ++k) {
    mean0_.push_back(plan.means[2 * k]);
    mean1_.push_back(plan.means[2 * k + 1]);
    for (std::size_t i = 0; i < 4; ++i) root_[i * plan.size() + k] = plan.roots[4 * k + i];
  }
}

MixtureView MixtureField::view() const noexcept {
  const std::size_t n = weight_.size();
  return {n,         weight_.data(), mean0_.data(), mean1_.data(),
          &root_[0], &root_[n],      &root_[2 * n], &root_[3 * n]};
}

void MixtureField::operator()(double t, std::span<const double> x,
                              std::span<double> v) const noexcept {
  kernels<FieldKernels>().mixture_velocity(view(), coefficients(interpolant_, t), x.data(),
                                           v.data(), nullptr, x.size());
}

void MixtureField::operator()(std::span<const double> t, std::span<const double> x,
                              std::span<double> v) const noexcept {
  divergence(t, x, v, {});
}

void MixtureField::divergence(double t, std::span<const double> x, std::span<double> v,
                              std::span<double> div) const noexcept {
  kernels<FieldKernels>().mixture_velocity(view(), coefficients(interpolant_, t), x.data(),
                                           v.data(), div.data(), x.size());
}

void MixtureField::divergence(std::span<const double> t, std::span<const double> x,
                              std::span<double> v, std::span<double> div) const noexcept {
  if (interpolant_ == Interpolant::linear) {
    kernels<FieldKernels>().mixture_velocity_linear(view(), t.data(), x.data(), v.data(),
                                                    div.empty() ? nullptr : div.data(), x.size());
    return;
  }
  std::array<double, block> a, b, da, db;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    for (std::size_t i = 0; i < n; ++i) {
      const Coefficients c = coefficients(interpolant_, t[first + i]);
      a[i] = c.a, b[i] = c.b, da[i] = c.da, db[i] = c.db;
    }
    kernels<FieldKernels>().mixture_velocity_each(view(), a.data(), b.data(), da.data(), db.data(),
                                                  x.data() + first, v.data() + first,
                                                  div.empty() ? nullptr : div.data() + first, n);
  }
}

void MixtureField::jacobian(double t, std::span<const double> x,
                            std::span<double> jac) const noexcept {
  std::array<double, block> v;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    divergence(t, x.subspan(first, n), std::span(v).first(n), jac.subspan(first, n));
  }
}

void GridPlanField::operator()(double t, std::span<const double> x,
                               std::span<double> v) const noexcept {
  divergence(t, x, v, {});
}

void GridPlanField::divergence(double t, std::span<const double> x, std::span<double> v,
                               std::span<double> div) const noexcept {
  const Coefficients c = coefficients(interpolant_, t);
  const GridLines lines = lines_at(density_, c);
  const double mean_velocity = c.da * density_.mean0 + c.db * density_.mean1;
  std::array<double, block> density, flux;
  std::array<double, 2 * block> slopes;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    kernels<FieldKernels>().grid_lines(lines, x.data() + first, density.data(), flux.data(),
                                       div.empty() ? nullptr : slopes.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      const double at = x[first + i];
      const bool mass = density[i] > 0;
      const double u = mass ? flux[i] / density[i] : (std::isfinite(at) ? mean_velocity : at);
      v[first + i] = u;
      if (!div.empty()) {
        div[first + i] = mass ? (slopes[n + i] - u * slopes[i]) / density[i] : 0;
      }
    }
  }
}

void GridPlanField::jacobian(double t, std::span<const double> x,
                             std::span<double> jac) const noexcept {
  std::array<double, block> v;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    divergence(t, x.subspan(first, n), std::span(v).first(n), jac.subspan(first, n));
  }
}

void grid_plan_density(const GridDensity& density, const Interpolant& interpolant, double t,
                       std::span<const double> x, std::span<double> p) noexcept {
  const GridLines lines = lines_at(density, coefficients(interpolant, t));
  std::array<double, block> flux;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    kernels<FieldKernels>().grid_lines(lines, x.data() + first, p.data() + first, flux.data(),
                                       nullptr, n);
  }
}

void grid_plan_local(const GridDensity& density, const Interpolant& interpolant, double t,
                     std::span<const double> x, std::span<double> score,
                     std::span<double> variance) noexcept {
  GridLines lines = lines_at(density, interpolant(t));
  // The variance from the flux of (dX_t/dt - v)^2: walk the lines once more with the squared rate.
  std::array<double, block> p, flux;
  std::array<double, 2 * block> slopes;
  for (std::size_t first = 0; first < x.size(); first += block) {
    const std::size_t n = std::min(block, x.size() - first);
    kernels<FieldKernels>().grid_lines(lines, x.data() + first, p.data(), flux.data(),
                                       slopes.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      const double nothing = std::numeric_limits<double>::quiet_NaN();
      score[first + i] = p[i] > 0 ? slopes[i] / p[i] : nothing;
      if (!(p[i] > 0)) {
        variance[first + i] = nothing;
        continue;
      }
      const double mean = flux[i] / p[i];
      double sum = 0, mass = 0;
      for (std::size_t j = 0; j < lines.lines; ++j) {
        const double y = lines.first_line + double(j) * lines.line_spacing;
        const double z = (x[first + i] - lines.flat * y) / lines.steep;
        const bool along0 = lines.spline == density.along0.data();
        const double rho = along0 ? density(z, y) : density(y, z);
        const double rate = lines.steep_rate * z + lines.flat_rate * y - mean;
        mass += rho;
        sum += rho * rate * rate;
      }
      variance[first + i] = sum / mass;
    }
  }
}

AnyField velocity_field(const MixturePlan& plan, Interpolant interpolant) {
  if (plan.dim == 1) return MixtureField(plan, std::move(interpolant));
  return MixtureFieldND(plan, std::move(interpolant));
}
AnyField velocity_field(const DatasetPlan& plan, Interpolant interpolant) {
  return DatasetField(plan, std::move(interpolant));
}
AnyField velocity_field(const GridPlan& plan, Interpolant interpolant) {
  return GridPlanField(plan, std::move(interpolant));
}

}  // namespace recouple
