// Recovering a plan on the line on large grids: accelerated mirror descent on binned projections.
//
// The mass of each grid point is spread evenly over its cell, whose projection on X_t = (1 - t) X0
// + t X1 is a trapezoid of the width of a bin, (1 - t) h0 + t h1: it touches two bins, and A_t, the
// map from masses to bins, has columns that sum to 1. The plan sought is
//   argmin sum_t w_t KL(A_t P || b_t) + lambda KL(P || P0),
// which is P0 exp(A' theta) for some theta, one number a bin: nothing larger than the grid is kept.
// The divergences are those of unnormalised masses. As the columns sum to 1, the first sum is
// sum_t w_t times smoother than KL(P || Q) is convex: steps of one need no line search (Bauschke,
// Bolte & Teboulle 2017), and they are accelerated as by Hanzely, Richtarik & Xiao (2021).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "recouple/inverse.hpp"
#include "recouple/parallel.hpp"

namespace recouple {

// The maps A_t of one grid of n0 x n1 points, h0 and h1 apart, and their adjoints. Masses are
// packed, diagonal by diagonal. Bin k of time t reaches from k - 1/2 to k + 1/2 widths right of the
// first point's place.
class BinnedProjections {
 public:
  // Throws std::invalid_argument unless n0, n1 > 1, the spacings are positive and the times lie in
  // [0, 1].
  BinnedProjections(std::size_t n0, std::size_t n1, double h0, double h1,
                    std::span<const double> times);

  std::size_t points() const noexcept { return n0_ * n1_; }
  std::size_t bins() const noexcept { return first_bin_.back(); }
  std::size_t times() const noexcept { return first_bin_.size() - 1; }
  // The bins of time k are those from first_bin()[k] to first_bin()[k + 1].
  std::span<const std::size_t> first_bin() const noexcept { return first_bin_; }

  // All throw std::invalid_argument unless the sizes are points() and bins().

  // Row-major masses to packed ones, and back.
  void pack(std::span<const double> mass, std::span<double> packed) const;
  void unpack(std::span<const double> packed, std::span<double> mass) const;

  // bins = A packed, for all times.
  void project(std::span<const double> packed, std::span<double> bins, int threads = 0) const;
  // packed = A' bins.
  void adjoint(std::span<const double> bins, std::span<double> packed, int threads = 0) const;
  // packed = reference * exp(A' bins).
  void tilt(std::span<const double> reference, std::span<const double> bins,
            std::span<double> packed, int threads = 0) const;

 private:
  struct Cut {
    std::ptrdiff_t bin;  // that the trapezoid of the diagonal's first point begins in
    double share;        // what it leaves there; the rest goes to the next
  };
  void require_sizes(std::size_t mass, std::size_t packed, std::size_t bins) const;
  std::size_t diagonals() const noexcept { return n0_ + n1_ - 1; }
  template <class Finish>
  void back_project(std::span<const double> bins, int threads, const Finish& finish) const;

  std::size_t n0_, n1_;
  std::vector<std::size_t> first_bin_;
  std::vector<std::size_t> first_;  // packed point of each diagonal
  std::vector<Cut> cut_;            // diagonal by diagonal, all times of one together
};

struct DescentOptions {
  int max_iterations = 1000;
  double tolerance = 1e-3;  // stop when `window` iterations save less than this share
  int threads = 0;
};

struct DescentStage {
  DualStatus status;
  int restarts;
  double misfit;                  // sum_t w_t KL(A_t P || b_t)
  double divergence;              // KL(P || P0)
  std::vector<double> objective;  // of each iterate kept: it never rises
};

// The descent on one grid; remembers theta, so that a sequence of solves is warm started. One
// object serves one thread at a time.
class MirrorDescent {
 public:
  static constexpr std::size_t window = 50;
  // Mass added to both sides of every divergence, bin by bin: below it the data say nothing.
  static constexpr double background = 1e-10;

  // reference: masses, row-major. data: masses of all bins. weights: one a time, scaled to sum to
  // 1. Throws std::invalid_argument on mismatched sizes or unless all are finite and not negative.
  MirrorDescent(BinnedProjections projections, std::span<const double> reference,
                std::span<const double> data, std::span<const double> weights);

  // From the present theta, by steps with momentum; a step with momentum that raises the objective
  // is taken back, and the momentum with it.
  DescentStage solve(double lambda, const DescentOptions& options, const Progress& progress = {});

  // The data term at any row-major masses, and its gradient.
  double misfit(std::span<const double> mass, std::span<double> gradient, int threads = 0) const;

  const BinnedProjections& projections() const noexcept { return projections_; }
  std::span<const double> theta() const noexcept { return theta_; }
  void set_theta(std::span<const double> theta);
  // The masses at the present theta, row-major.
  void mass(std::span<double> mass, int threads = 0) const;

 private:
  struct Value {
    double misfit, divergence;
  };
  Value evaluate(std::span<const double> theta, std::span<double> packed, std::span<double> slope,
                 int threads) const;
  double compare(std::span<const double> bins, std::span<double> slope) const;

  BinnedProjections projections_;
  std::vector<double> reference_, data_, weight_, theta_;  // packed; then one entry a bin
};

}  // namespace recouple
