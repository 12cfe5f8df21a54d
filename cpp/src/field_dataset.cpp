#include "recouple/field_dataset.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/field_dataset.hpp"

namespace recouple {
namespace {

std::size_t up_to(std::size_t n, std::size_t multiple) noexcept {
  return (n + multiple - 1) / multiple * multiple;
}

// 1 / (a std)^2, finite also where a = 0: there only the nearest row is left.
double precision_at(double a, double std) noexcept {
  const double width = std::max(std::abs(a) * std, 1e-100);
  return 1 / (width * width);
}

}  // namespace

DatasetField::DatasetField(const DatasetPlan& plan, Interpolant interpolant)
    : rows_(plan.size()),
      dim_(plan.dim),
      padded_rows_(up_to(rows_, dataset_group)),
      padded_dim_(up_to(dim_, 8)),
      std_(plan.std),
      largest_square_(0),
      trace_(0),
      interpolant_(std::move(interpolant)),
      centre_(dim_, 0.0),
      across_(padded_rows_ * dim_, 0.0),
      along_(padded_rows_ * padded_dim_, 0.0),
      squares_(padded_rows_, 0.0),
      log_weights_(padded_rows_, no_row) {
  for (std::size_t j = 0; j < rows_; ++j) {
    for (std::size_t c = 0; c < dim_; ++c) centre_[c] += plan.weights[j] * plan.data[j * dim_ + c];
  }
  for (std::size_t j = 0; j < rows_; ++j) {
    const std::size_t panel = j / dataset_panel * dataset_panel;
    for (std::size_t c = 0; c < dim_; ++c) {
      const double y = plan.data[j * dim_ + c] - centre_[c];
      along_[j * padded_dim_ + c] = y;
      across_[panel * dim_ + c * dataset_panel + (j - panel)] = y;
      squares_[j] += y * y;
    }
    log_weights_[j] = std::log(plan.weights[j]);
    largest_square_ = std::max(largest_square_, squares_[j]);
    trace_ += plan.weights[j] * squares_[j];
  }
}

double DatasetField::cost_ns() const noexcept {
  return double(rows_) * (1 + 0.08 * double(padded_dim_));
}

void DatasetField::operator()(double t, std::span<const double> x,
                              std::span<double> v) const noexcept {
  divergence(t, x, v, {});
}

void DatasetField::divergence(double t, std::span<const double> x, std::span<double> v,
                              std::span<double> div) const noexcept {
  const Coefficients c = interpolant_(t);
  const DatasetView data{padded_rows_,       dim_,          padded_dim_,
                         across_.data(),     along_.data(), squares_.data(),
                         log_weights_.data()};
  const double precision = precision_at(c.a, std_);
  // Rounding of the expanded square, in units of the exponent.
  const double rounding = 2e-16 * precision * c.b * c.b * largest_square_;
  const bool direct = !(rounding < 1e-10);
  const std::size_t n = x.size() / dim_;
  constexpr std::size_t most = dataset_points;
  thread_local std::vector<double> scratch;
  scratch.resize(most * (2 * dim_ + padded_dim_ + dataset_group + 4));
  double* centred = scratch.data();
  double* mean = centred + most * dim_;
  double* energy = mean + most * padded_dim_;
  for (std::size_t first = 0; first < n; first += most) {
    const std::size_t count = std::min(most, n - first);
    const double* at = &x[first * dim_];
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t k = 0; k < dim_; ++k) {
        centred[i * dim_ + k] = at[i * dim_ + k] - c.b * centre_[k];
      }
    }
    kernels<DatasetKernels>().posterior(data, c.b, precision, direct, centred, count, mean, energy,
                                        energy + most);
    for (std::size_t i = 0; i < count; ++i) {
      double square = 0;
      for (std::size_t k = 0; k < dim_; ++k) {
        const double y = mean[i * padded_dim_ + k];
        const double noise = centred[i * dim_ + k] - c.b * y;  // a times the mean of X0
        square += noise * noise;
        v[(first + i) * dim_ + k] = (c.a == 0 ? 0 : c.da / c.a * noise) + c.db * (y + centre_[k]);
      }
      if (div.empty()) continue;
      // b / (a std)^2 times the trace of Cov(X1 | x), from the mean square distance.
      const double spread = std::abs(c.b) > 1e-6 ? (2 * energy[i] - precision * square) / c.b
                                                 : c.b * precision * trace_;
      div[first + i] = c.a == 0 ? std::numeric_limits<double>::infinity() * (c.da < 0 ? -1 : 1)
                                : double(dim_) * c.da / c.a + (c.db - c.da * c.b / c.a) * spread;
    }
  }
}

void DatasetField::jacobian(double t, std::span<const double> x,
                            std::span<double> jac) const noexcept {
  const Coefficients c = interpolant_(t);
  const double factor = (c.db - c.da * c.b / c.a) * c.b * precision_at(c.a, std_);
  covariance(t, x, jac);
  for (std::size_t i = 0; i < jac.size(); ++i) {
    const bool diagonal = i % (dim_ * dim_) / dim_ == i % dim_;
    jac[i] = factor * jac[i] + (diagonal ? c.da / c.a : 0);
  }
}

void DatasetField::covariance(double t, std::span<const double> x,
                              std::span<double> cov) const noexcept {
  const Coefficients c = interpolant_(t);
  const double precision = precision_at(c.a, std_);
  const std::size_t n = x.size() / dim_;
  std::vector<double> energy(rows_), mean(dim_), y(dim_);
  for (std::size_t i = 0; i < n; ++i) {
    double least = std::numeric_limits<double>::infinity(), total = 0;
    for (std::size_t j = 0; j < rows_; ++j) {
      double square = 0;
      for (std::size_t k = 0; k < dim_; ++k) {
        const double d = x[i * dim_ + k] - c.b * (along_[j * padded_dim_ + k] + centre_[k]);
        square += d * d;
      }
      energy[j] = 0.5 * precision * square - log_weights_[j];
      least = std::min(least, energy[j]);
    }
    std::fill(mean.begin(), mean.end(), 0.0);
    for (std::size_t j = 0; j < rows_; ++j) {
      const double p = energy[j] = std::exp(least - energy[j]);
      total += p;
      for (std::size_t k = 0; k < dim_; ++k) mean[k] += p * along_[j * padded_dim_ + k];
    }
    for (double& m : mean) m /= total;
    double* out = &cov[i * dim_ * dim_];
    std::fill(out, out + dim_ * dim_, 0.0);
    for (std::size_t j = 0; j < rows_; ++j) {
      if (energy[j] == 0) continue;
      for (std::size_t k = 0; k < dim_; ++k) y[k] = along_[j * padded_dim_ + k] - mean[k];
      for (std::size_t r = 0; r < dim_; ++r) {
        const double weight = energy[j] / total * y[r];
        for (std::size_t k = 0; k < dim_; ++k) out[r * dim_ + k] += weight * y[k];
      }
    }
  }
}

}  // namespace recouple
