#include "kernels/field_dataset.hpp"

#include "kernels/product.hpp"
#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

constexpr double no_mass = -60;  // exp(-60) of the largest term is nothing, even 10^9 times over

// One pass over the data with a running maximum at each point: a group of rows at a time becomes a
// tile of logarithms (first product), then of weights, which the second product turns into sums.
void posterior(const DatasetView& y, double b, double precision, bool direct, const double* x,
               std::size_t n, double* mean, double* energy, double* scratch) noexcept {
  double* scaled = scratch;                // (n, dim)
  double* tile = scaled + n * y.dim;       // (n, group)
  double* top = tile + n * dataset_group;  // (n)
  double* total = top + n;                 // (n)
  double* base = total + n;                // (n)
  for (std::size_t i = 0; i < n; ++i) {
    double square = 0;
    for (std::size_t c = 0; c < y.dim; ++c) {
      scaled[i * y.dim + c] = x[i * y.dim + c] * (b * precision);
      square += x[i * y.dim + c] * x[i * y.dim + c];
    }
    base[i] = direct ? 0 : 0.5 * precision * square;
    top[i] = -__builtin_inf();
    total[i] = energy[i] = 0;
    for (std::size_t c = 0; c < y.padded_dim; ++c) mean[i * y.padded_dim + c] = 0;
  }
  for (std::size_t j = 0; j < y.rows; j += dataset_group) {
    double offset[dataset_group], log_weight[dataset_group];
    for (std::size_t k = 0; k < dataset_group; ++k) {
      log_weight[k] = y.log_weight[j + k];
      offset[k] =
          direct ? log_weight[k] : log_weight[k] - 0.5 * precision * b * b * y.squares[j + k];
    }
    for (std::size_t p = 0; p < dataset_group; p += dataset_panel) {
      const double* panel = y.across + (j + p) * y.dim;
      if (!direct) {
        product(n, y.dim, dataset_panel, scaled, y.dim, panel, dataset_panel, offset + p, 0,
                tile + p, dataset_group);
        continue;
      }
      for (std::size_t i = 0; i < n; ++i) {
        double sum[dataset_panel] = {};
        for (std::size_t c = 0; c < y.dim; ++c) {
          const double at = x[i * y.dim + c];
          for (std::size_t k = 0; k < dataset_panel; ++k) {
            const double d = at - b * panel[c * dataset_panel + k];
            sum[k] += d * d;
          }
        }
        for (std::size_t k = 0; k < dataset_panel; ++k) {
          tile[i * dataset_group + p + k] = offset[p + k] - 0.5 * precision * sum[k];
        }
      }
    }
    bool any = false;
    for (std::size_t i = 0; i < n; ++i) {
      double* row = tile + i * dataset_group;
      Vec highest = Vec{} - 1e308;
      for (std::size_t k = 0; k < dataset_group; k += vec_width) {
        const Vec value = load(row + k);
        highest = value > highest ? value : highest;
      }
      double most = highest[0];
      for (std::size_t l = 1; l < vec_width; ++l) most = highest[l] > most ? highest[l] : most;
      if (most < top[i] + no_mass) {
        for (std::size_t k = 0; k < dataset_group; ++k) row[k] = 0;
        continue;
      }
      any = true;
      if (most > top[i]) {
        const double shrink = vec_exp(top[i] - most);
        top[i] = most;
        total[i] *= shrink;
        energy[i] *= shrink;
        for (std::size_t c = 0; c < y.padded_dim; ++c) mean[i * y.padded_dim + c] *= shrink;
      }
      Vec sums{}, energies{};
      for (std::size_t k = 0; k < dataset_group; k += vec_width) {
        const Vec value = load(row + k);
        const Vec p = exp_of_negative(value - top[i]);
        store(row + k, p);
        sums += p;
        energies += p * (load(log_weight + k) - value);
      }
      total[i] += sum_of(sums);
      energy[i] += sum_of(energies);
    }
    if (any) {
      product(n, dataset_group, y.padded_dim, tile, dataset_group, y.along + j * y.padded_dim,
              y.padded_dim, mean, y.padded_dim, mean, y.padded_dim);
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    const double inverse = 1 / total[i];
    for (std::size_t c = 0; c < y.padded_dim; ++c) mean[i * y.padded_dim + c] *= inverse;
    energy[i] = base[i] + energy[i] * inverse;
  }
}

}  // namespace

template <>
const DatasetKernels& DatasetKernels::at<level_of_this_file>() noexcept {
  static constexpr DatasetKernels table{&recouple::posterior};
  return table;
}

}  // namespace recouple
