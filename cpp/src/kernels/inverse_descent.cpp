#include "kernels/inverse_descent.hpp"

namespace recouple {
namespace {

void spread(const double* __restrict mass, std::size_t n, double share,
            double* __restrict bins) noexcept {
  const double rest = 1 - share;
  bins[0] += share * mass[0];
  for (std::size_t k = 1; k < n; ++k) bins[k] += share * mass[k] + rest * mass[k - 1];
  bins[n] += rest * mass[n - 1];
}

void gather(const double* __restrict bins, std::size_t n, double share,
            double* __restrict cells) noexcept {
  const double rest = 1 - share;
  for (std::size_t k = 0; k < n; ++k) cells[k] += share * bins[k] + rest * bins[k + 1];
}

}  // namespace

template <>
const DescentKernels& DescentKernels::at<level_of_this_file>() noexcept {
  static constexpr DescentKernels table{&recouple::spread, &recouple::gather};
  return table;
}

}  // namespace recouple
