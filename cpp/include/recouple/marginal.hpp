// Laws on the line, evaluated on batches of points.
//
// Every law answers the same eight questions, in[i] -> out[i] for spans of one length:
//   pdf, logpdf        density
//   cdf, logcdf        P(X <= x)
//   sf, logsf          P(X > x), with its own relative accuracy
//   ppf, isf           the least x with cdf(x) >= u, and the one with sf(x) = u
// Points are any doubles but NaN; probabilities lie in [0, 1]: callers have looked. `out` may be
// `in`. AnyMarginal erases the type at the price of one virtual call per batch.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace recouple {

struct Landmarks;
struct LineMixture;

enum class Curve { pdf, logpdf, cdf, logcdf, sf, logsf, ppf, isf };

struct Support {
  double lower, upper;
};

template <class L>
concept Marginal = requires(const L& law, Curve curve, std::span<const double> in,
                            std::span<double> out) {
  { law.evaluate(curve, in, out) }
  noexcept;
  { law.mean() }
  noexcept->std::convertible_to<double>;
  { law.std() }
  noexcept->std::convertible_to<double>;
  { law.support() }
  noexcept->std::convertible_to<Support>;
};

// A law that runs foreign code: it sees a whole batch at once, on the caller's thread, and may
// fail, after which its values mean nothing; error() says why, once.
template <class L>
concept ForeignMarginal = requires(const L& law) {
  { law.error() }
  noexcept->std::same_as<std::exception_ptr>;
};

class AnyMarginal {
 public:
  template <Marginal L>
  requires(!std::same_as<L, AnyMarginal>) AnyMarginal(L law)
      : self_(std::make_shared<const Holder<L>>(std::move(law))) {}

  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept {
    self_->evaluate(curve, in, out);
  }
  void pdf(std::span<const double> x, std::span<double> out) const noexcept {
    evaluate(Curve::pdf, x, out);
  }
  void cdf(std::span<const double> x, std::span<double> out) const noexcept {
    evaluate(Curve::cdf, x, out);
  }
  void sf(std::span<const double> x, std::span<double> out) const noexcept {
    evaluate(Curve::sf, x, out);
  }
  void ppf(std::span<const double> u, std::span<double> out) const noexcept {
    evaluate(Curve::ppf, u, out);
  }
  void isf(std::span<const double> u, std::span<double> out) const noexcept {
    evaluate(Curve::isf, u, out);
  }

  double mean() const noexcept { return self_->mean(); }
  double std() const noexcept { return self_->std(); }
  Support support() const noexcept { return self_->support(); }

  // Whether this curve runs foreign code, so that it wants the whole batch on the caller's thread.
  bool foreign(Curve curve) const noexcept { return self_->foreign(curve); }
  std::exception_ptr error() const noexcept { return self_->error(); }

  // Rough cost of one point, to decide whether threads pay.
  double cost_ns(Curve curve) const noexcept { return self_->cost_ns(curve); }

  // The law itself if it is an L, else null.
  template <class L>
  const L* as() const noexcept {
    const auto* holder = dynamic_cast<const Holder<L>*>(self_.get());
    return holder == nullptr ? nullptr : &holder->law;
  }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual void evaluate(Curve, std::span<const double>, std::span<double>) const noexcept = 0;
    virtual double mean() const noexcept = 0;
    virtual double std() const noexcept = 0;
    virtual Support support() const noexcept = 0;
    virtual bool foreign(Curve) const noexcept = 0;
    virtual std::exception_ptr error() const noexcept = 0;
    virtual double cost_ns(Curve) const noexcept = 0;
  };

  template <Marginal L>
  struct Holder final : Interface {
    explicit Holder(L l) : law(std::move(l)) {}
    void evaluate(Curve curve, std::span<const double> in,
                  std::span<double> out) const noexcept override {
      law.evaluate(curve, in, out);
    }
    double mean() const noexcept override { return law.mean(); }
    double std() const noexcept override { return law.std(); }
    Support support() const noexcept override { return law.support(); }
    bool foreign(Curve curve) const noexcept override {
      if constexpr (requires {
                      { law.foreign(curve) }
                      noexcept;
                    })
        return law.foreign(curve);
      return ForeignMarginal<L>;
    }
    std::exception_ptr error() const noexcept override {
      if constexpr (ForeignMarginal<L>) return law.error();
      return nullptr;
    }
    double cost_ns(Curve curve) const noexcept override {
      if constexpr (requires {
                      { law.cost_ns(curve) }
                      noexcept;
                    })
        return law.cost_ns(curve);
      return 20;
    }
    L law;
  };

  std::shared_ptr<const Interface> self_;
};

// The batch cut into blocks over `threads` threads (0: the default); one block, on this thread, for
// a foreign law. The result does not depend on the thread count.
void evaluate(const AnyMarginal& law, Curve curve, std::span<const double> in,
              std::span<double> out, int threads);

// Throws std::invalid_argument on NaN, and on probabilities outside [0, 1], naming the first.
void check(Curve curve, std::span<const double> in);

// Both at once, each block while it is in cache; if it throws, what `out` holds means nothing.
void evaluate_checked(const AnyMarginal& law, Curve curve, std::span<const double> in,
                      std::span<double> out, int threads);

// sum_k w_k N(m_k, s_k^2). Weights are positive and sum to 1. Many components of one standard
// deviation (kernel-smoothed samples) are kept sorted, and each point visits only those near it.
class NormalMixture {
 public:
  // Throws std::invalid_argument on a size mismatch, a non-finite entry, a negative weight or zero
  // total, and a standard deviation that is not positive. Weights are normalised; components of
  // weight zero are dropped.
  NormalMixture(std::span<const double> weights, std::span<const double> means,
                std::span<const double> stds);

  std::size_t size() const noexcept { return size_; }
  std::span<const double> weights() const noexcept { return {weights_.data(), size_}; }
  std::span<const double> means() const noexcept { return {means_.data(), size_}; }
  std::span<const double> stds() const noexcept { return {stds_.data(), size_}; }

  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return mean_; }
  double std() const noexcept { return std_; }
  Support support() const noexcept;
  double cost_ns(Curve curve) const noexcept;

  // The quantiles as above; returns the most iterations any of them took.
  int invert(bool upper, std::span<const double> u, std::span<double> x) const noexcept;

 private:
  struct Survey;
  LineMixture line_mixture() const noexcept;
  void sort_components();
  Landmarks landmarks(std::size_t wanted) const;

  std::vector<double> weights_, means_, stds_;
  std::vector<double> inverse_, inverse_low_;  // 1 / s_k in two parts
  std::vector<double> peak_, log_peak_;        // w_k / (s_k sqrt(2 pi)) and its logarithm
  std::vector<double> log_weight_;
  std::vector<double> left_,
      right_;  // of sorted mixtures: weights before, and from, each component
  std::size_t size_;
  double log_least_weight_ = 0;
  double least_std_, mean_, std_;
  std::shared_ptr<Survey> survey_;  // where quantiles are looked for; made when first wanted
};

// N(mean, std^2), std > 0.
class Normal {
 public:
  Normal(double mean, double std);
  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return mean_; }
  double std() const noexcept { return std_; }
  Support support() const noexcept { return law_.support(); }
  double cost_ns(Curve curve) const noexcept;

 private:
  double mean_, std_;
  NormalMixture law_;
};

// Atoms with masses. ppf is the standard quantile, the least value with cdf >= u; densities are
// NaN.
class Empirical {
 public:
  // Values in any order (sorted ones are taken as they are); weights empty (equal) or one for each
  // value. Throws std::invalid_argument on no values, a non-finite one, a size mismatch, a negative
  // or non-finite weight, or zero total.
  Empirical(std::span<const double> values, std::span<const double> weights);

  std::span<const double> values() const noexcept { return values_; }    // increasing, ties kept
  std::span<const double> weights() const noexcept { return weights_; }  // sum to 1; empty if equal

  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return mean_; }
  double std() const noexcept { return std_; }
  Support support() const noexcept { return {values_.front(), values_.back()}; }
  double cost_ns(Curve) const noexcept { return 60; }

 private:
  double below(std::size_t count) const noexcept;  // mass of the first `count` values
  std::size_t first_reaching(double u) const noexcept;

  std::vector<double> values_, weights_;
  std::vector<double> cumulative_;  // cumulative_[i]: mass of values_[0..i]; empty if equal weights
  double mean_, std_;
};

// Mass spread evenly over each bin, so that cdf and ppf are polygons.
class Histogram {
 public:
  // n + 1 edges, n masses, normalised. Equal edges make an atom. Throws std::invalid_argument on
  // edges that decrease or are not finite, a size mismatch, a negative mass or zero total.
  Histogram(std::span<const double> edges, std::span<const double> mass);

  std::span<const double> edges() const noexcept { return edges_; }
  std::span<const double> mass() const noexcept { return mass_; }

  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return mean_; }
  double std() const noexcept { return std_; }
  Support support() const noexcept { return {lower_, upper_}; }
  double cost_ns(Curve) const noexcept { return 40; }

 private:
  double quantile(double p, double q) const noexcept;  // p + q = 1

  std::vector<double> edges_, mass_;
  std::vector<double> below_, above_;  // mass left and right of each edge
  double mean_, std_, lower_, upper_;
};

// The law of shift + scale * X, scale not zero.
class Affine {
 public:
  Affine(AnyMarginal law, double shift, double scale);
  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return shift_ + scale_ * law_.mean(); }
  double std() const noexcept;
  Support support() const noexcept;
  bool foreign(Curve curve) const noexcept { return law_.foreign(curve); }
  std::exception_ptr error() const noexcept { return law_.error(); }
  double cost_ns(Curve curve) const noexcept { return law_.cost_ns(curve) + 1; }

 private:
  AnyMarginal law_;
  double shift_, scale_;
};

// The law of X given lower <= X <= upper, for a law with a density. Tails are differences of the
// law's own: where the interval lies far out in one tail they keep their relative accuracy.
class Truncated {
 public:
  // Throws std::invalid_argument unless lower < upper and the law has mass between them.
  Truncated(AnyMarginal law, double lower, double upper);
  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return mean_; }
  double std() const noexcept { return std_; }
  Support support() const noexcept { return {lower_, upper_}; }
  bool foreign(Curve curve) const noexcept { return law_.foreign(curve); }
  std::exception_ptr error() const noexcept { return law_.error(); }
  double cost_ns(Curve curve) const noexcept { return 2 * law_.cost_ns(curve) + 2; }

 private:
  AnyMarginal law_;
  double lower_, upper_;
  double below_lower_, above_lower_, below_upper_, above_upper_;  // cdf and sf at both ends
  double mass_;
  double mean_ = 0, std_ = 0;
};

// Mean and standard deviation by Gauss-Legendre quadrature of the quantile function, octave by
// octave into both tails, halving where it bends. Infinite or NaN where the tails' moments do not
// settle.
std::pair<double, double> moments(const AnyMarginal& law);

}  // namespace recouple
