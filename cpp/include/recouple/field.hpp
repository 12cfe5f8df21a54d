// Velocity fields v(t, x) = E[dX_t/dt | X_t = x], evaluated on blocks of points.
//
// A field is anything callable as f(t, x, v) noexcept with row-major points x and room v of the
// same size. One that can also take a time for each point (f(times, x, v)) serves the adaptive
// solvers without a detour. AnyField erases the type at the price of one virtual call per block.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "recouple/interpolant.hpp"
#include "recouple/plan.hpp"

namespace recouple {

struct MixtureView;

template <class F>
concept VelocityField = requires(const F& f, double t, std::span<const double> x,
                                 std::span<double> v) {
  { f.dim() }
  noexcept->std::convertible_to<std::size_t>;
  { f(t, x, v) }
  noexcept;
};

template <class F>
concept TakesTimes = requires(const F& f, std::span<const double> t, std::span<const double> x,
                              std::span<double> v) {
  { f(t, x, v) }
  noexcept;
};

// A field that knows its derivatives in x: the divergence along with the velocity, and the
// Jacobian, row-major blocks jacobian[i][r][c] = d v_r / d x_c at point i.
template <class F>
concept Differentiable = requires(const F& f, double t, std::span<const double> x,
                                  std::span<double> v, std::span<double> out) {
  { f.divergence(t, x, v, out) }
  noexcept;
  { f.jacobian(t, x, out) }
  noexcept;
};
template <class F>
concept DivergenceTakesTimes = requires(const F& f, std::span<const double> t,
                                        std::span<const double> x, std::span<double> v,
                                        std::span<double> out) {
  { f.divergence(t, x, v, out) }
  noexcept;
};

// A field that runs foreign code: it sees the whole batch at once, on the caller's thread, and may
// have failed, after which its values mean nothing.
template <class F>
concept Foreign = requires(const F& f) {
  { f.failed() }
  noexcept->std::convertible_to<bool>;
};

class AnyField {
 public:
  template <VelocityField F>
  requires(!std::same_as<F, AnyField>) AnyField(F field)
      : self_(std::make_shared<const Holder<F>>(std::move(field))) {}

  std::size_t dim() const noexcept { return self_->dim(); }

  // One time for the block.
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept {
    self_->evaluate(t, x, v);
  }
  // A time for each point.
  void operator()(std::span<const double> t, std::span<const double> x,
                  std::span<double> v) const noexcept {
    self_->evaluate_each(t, x, v);
  }

  // Whether the two calls below may be made.
  bool differentiable() const noexcept { return self_->differentiable(); }
  // Velocity and divergence together, at one time or at a time for each point.
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept {
    self_->divergence(t, x, v, div);
  }
  void divergence(std::span<const double> t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept {
    self_->divergence_each(t, x, v, div);
  }
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept {
    self_->jacobian(t, x, jac);
  }

  bool foreign() const noexcept { return self_->foreign(); }
  bool failed() const noexcept { return self_->failed(); }

  // Rough cost of one evaluation at one point, to decide whether threads pay.
  double cost_ns() const noexcept { return self_->cost_ns(); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual std::size_t dim() const noexcept = 0;
    virtual void evaluate(double, std::span<const double>, std::span<double>) const noexcept = 0;
    virtual void evaluate_each(std::span<const double>, std::span<const double>,
                               std::span<double>) const noexcept = 0;
    virtual bool differentiable() const noexcept = 0;
    virtual void divergence(double, std::span<const double>, std::span<double>,
                            std::span<double>) const noexcept = 0;
    virtual void divergence_each(std::span<const double>, std::span<const double>,
                                 std::span<double>, std::span<double>) const noexcept = 0;
    virtual void jacobian(double, std::span<const double>, std::span<double>) const noexcept = 0;
    virtual bool foreign() const noexcept = 0;
    virtual bool failed() const noexcept = 0;
    virtual double cost_ns() const noexcept = 0;
  };

  template <VelocityField F>
  struct Holder final : Interface {
    explicit Holder(F f) : field(std::move(f)) {}
    std::size_t dim() const noexcept override { return field.dim(); }
    void evaluate(double t, std::span<const double> x,
                  std::span<double> v) const noexcept override {
      field(t, x, v);
    }
    void evaluate_each(std::span<const double> t, std::span<const double> x,
                       std::span<double> v) const noexcept override {
      if constexpr (TakesTimes<F>) {
        field(t, x, v);
      } else {
        const std::size_t d = field.dim();
        for (std::size_t i = 0; i < t.size(); ++i) {
          field(t[i], x.subspan(i * d, d), v.subspan(i * d, d));
        }
      }
    }
    bool differentiable() const noexcept override {
      if constexpr (requires {
                      { field.differentiable() }
                      noexcept;
                    }) {
        return field.differentiable();  // a wrapper is what it wraps
      }
      return Differentiable<F>;
    }
    void divergence(double t, std::span<const double> x, std::span<double> v,
                    std::span<double> div) const noexcept override {
      if constexpr (Differentiable<F>) field.divergence(t, x, v, div);
    }
    void divergence_each(std::span<const double> t, std::span<const double> x, std::span<double> v,
                         std::span<double> div) const noexcept override {
      if constexpr (DivergenceTakesTimes<F>) {
        field.divergence(t, x, v, div);
      } else if constexpr (Differentiable<F>) {
        const std::size_t d = field.dim();
        for (std::size_t i = 0; i < t.size(); ++i) {
          field.divergence(t[i], x.subspan(i * d, d), v.subspan(i * d, d), div.subspan(i, 1));
        }
      }
    }
    void jacobian(double t, std::span<const double> x,
                  std::span<double> jac) const noexcept override {
      if constexpr (Differentiable<F>) field.jacobian(t, x, jac);
    }
    bool foreign() const noexcept override {
      if constexpr (requires {
                      { field.foreign() }
                      noexcept;
                    }) {
        return field.foreign();  // a wrapper is what it wraps
      }
      return Foreign<F>;
    }
    bool failed() const noexcept override {
      if constexpr (Foreign<F>) return field.failed();
      return false;
    }
    double cost_ns() const noexcept override {
      if constexpr (requires {
                      { field.cost_ns() }
                      noexcept;
                    })
        return field.cost_ns();
      return 20;
    }
    F field;
  };

  std::shared_ptr<const Interface> self_;
};

// Field of a Gaussian-mixture plan on the line (D = 1): with S_k, K_k, m_k, d_k the variance of
// X_t, its covariance with dX_t/dt, and the means of X_t and dX_t/dt in component k,
//   v(t, x) = sum_k r_k (d_k + K_k (x - m_k) / S_k),   r_k ~ w_k N(x; m_k, S_k).
class MixtureField {
 public:
  MixtureField(const MixturePlan& plan, Interpolant interpolant);
  std::size_t dim() const noexcept { return 1; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void operator()(std::span<const double> t, std::span<const double> x,
                  std::span<double> v) const noexcept;
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void divergence(std::span<const double> t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept;
  double cost_ns() const noexcept { return 2 + 2.5 * double(weight_.size()); }

 private:
  MixtureView view() const noexcept;

  std::vector<double> weight_, mean0_, mean1_, root_;  // (K), and (4, K)
  Interpolant interpolant_;
};

// Field of a grid plan: the integrals of the spline density and of the density times dX_t/dt along
// the line a x0 + b x1 = x, by the trapezoid rule on the grid lines of the flatter axis. Where the
// plan has no mass the field is the mean velocity E[dX_t/dt].
class GridPlanField {
 public:
  GridPlanField(const GridPlan& plan, Interpolant interpolant)
      : density_(plan), interpolant_(std::move(interpolant)) {}
  std::size_t dim() const noexcept { return 1; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept;
  double cost_ns() const noexcept { return 1.5 * double(density_.n0 + density_.n1); }

 private:
  GridDensity density_;
  Interpolant interpolant_;
};

// Density of X_t at the points x, by the same integrals.
void grid_plan_density(const GridDensity& density, const Interpolant& interpolant, double t,
                       std::span<const double> x, std::span<double> p) noexcept;

// Gradient of log p_t and Var(dX_t/dt | X_t = x) by the same integrals; NaN where there is no mass.
void grid_plan_local(const GridDensity& density, const Interpolant& interpolant, double t,
                     std::span<const double> x, std::span<double> score,
                     std::span<double> variance) noexcept;

AnyField velocity_field(const MixturePlan& plan, Interpolant interpolant = Interpolant::linear);
AnyField velocity_field(const DatasetPlan& plan, Interpolant interpolant = Interpolant::linear);
AnyField velocity_field(const GridPlan& plan, Interpolant interpolant = Interpolant::linear);

}  // namespace recouple
