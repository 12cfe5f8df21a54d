// Quantiles in bulk: certified tables, inversion of a bare cdf, maps between laws, rows of laws.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "recouple/marginal.hpp"

namespace recouple {

// A law whose quantiles are read from a table of polynomials of degree 6 in the probability; the
// other curves are the law's own, and so are quantiles below 2^-40 of either tail.
//
// Cells are halved until at their check points, two between every two nodes and four more at
// incommensurate places, |cdf(x(u)) - u| <= u_error / 2, or until a cell is no wider than u_error /
// 2, where any increasing function is good enough. x(u) increases.
class Tabulated {
 public:
  // Throws std::invalid_argument if u_error lies outside [1e-14, 1e-3], and if the law cannot be
  // certified: its ppf and cdf disagree by more than u_error somewhere (an atom, or noise), or its
  // ppf decreases or is not finite.
  Tabulated(AnyMarginal law, double u_error);

  const AnyMarginal& law() const noexcept { return law_; }
  double u_error() const noexcept { return measured_; }  // largest |cdf(x(u)) - u| at check points
  double wanted() const noexcept { return wanted_; }
  std::size_t size() const noexcept { return left_.size() - 2; }  // cells

  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept;
  double mean() const noexcept { return law_.mean(); }
  double std() const noexcept { return law_.std(); }
  Support support() const noexcept { return law_.support(); }
  bool foreign(Curve curve) const noexcept {
    return curve != Curve::ppf && curve != Curve::isf && law_.foreign(curve);
  }
  std::exception_ptr error() const noexcept { return law_.error(); }
  double cost_ns(Curve curve) const noexcept {
    return curve == Curve::ppf || curve == Curve::isf ? 5 : law_.cost_ns(curve);
  }

 private:
  void build_half(bool upper);

  AnyMarginal law_;
  double wanted_, measured_ = 0;
  double lowest_ = 0, highest_ = 0;  // x at 2^-40 of either tail
  std::vector<double> left_, cells_;
  std::vector<std::int32_t> guide_;
};

// The least x in the support with cdf(x) >= u, for each u, when all there is is a batched cdf, by
// inverse quadratic interpolation and bisection inside a bracket (Chandrupatla 1997): to |cdf - u|
// <= 2 eps min(u, 1 - u) or to neighbouring doubles. Throws std::invalid_argument if the cdf is not
// within 1e-6 of 0 and 1 at the ends of its support, decreases by more than 1e-9, or is not a
// number. What the cdf throws passes through.
class CdfInverse {
 public:
  using Cdf = std::function<void(std::span<const double> x, std::span<double> p)>;
  CdfInverse(Cdf cdf, Support support);
  void operator()(std::span<const double> u, std::span<double> x) const;

 private:
  Cdf cdf_;
  std::vector<double> x_, p_;  // the cdf on a ladder of points over the support
};

// The increasing map T = F1^-1 o F0 that carries the source to the target: monotone optimal
// transport.
class TransportMap {
 public:
  TransportMap(AnyMarginal source, AnyMarginal target)
      : source_(std::move(source)), target_(std::move(target)) {}

  // T(x), through whichever tail of the source is the smaller.
  void operator()(std::span<const double> x, std::span<double> y) const;
  // T'(x) = f0(x) / f1(T(x)).
  void derivative(std::span<const double> x, std::span<double> slope) const;

  const AnyMarginal& source() const noexcept { return source_; }
  const AnyMarginal& target() const noexcept { return target_; }

 private:
  AnyMarginal source_, target_;
};

// Row i of `in`, of in.size() / laws.size() numbers, through laws[i].
void evaluate_rows(std::span<const AnyMarginal> laws, Curve curve, std::span<const double> in,
                   std::span<double> out, int threads);

}  // namespace recouple
