// The field of a data set: noise N(0, std^2 I) independent of a uniform row.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "recouple/interpolant.hpp"
#include "recouple/plan.hpp"

namespace recouple {

// The softmax-weighted mean of the rows, y(x) = sum_j p_j y_j with
// p_j ~ w_j exp(-|x - b y_j|^2 / (2 a^2 std^2)), gives v = a' (x - b y(x)) / a + b' y(x); where
// a = 0 the mean of the noise is 0 and v = b' y(x), y(x) the nearest row. Evaluated like two matrix
// products in blocks with a running maximum: no temporary has points times rows entries.
class DatasetField {
 public:
  DatasetField(const DatasetPlan& plan, Interpolant interpolant);
  std::size_t dim() const noexcept { return dim_; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept;
  double cost_ns() const noexcept;

  // Cov(X1 | X_t = x), (n, D, D).
  void covariance(double t, std::span<const double> x, std::span<double> cov) const noexcept;

 private:
  std::size_t rows_, dim_, padded_rows_, padded_dim_;
  double std_, largest_square_, trace_;  // of a row; of the data's covariance
  Interpolant interpolant_;
  std::vector<double> centre_, across_, along_, squares_, log_weights_;
};

}  // namespace recouple
