#include "kernels/inverse.hpp"

#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

constexpr std::size_t w = feature_width;

void add_exponent(const FeatureView& f, const double* theta, double* exponent,
                  std::size_t points) noexcept {
  for (std::size_t p = 0; p < points; ++p) {
    const double* t = theta + f.start[p];
    const double* b = f.value + w * p;
    double low = 0, high = 0;
    for (std::size_t s = 0; s < w / 2; ++s) low += b[s] * t[s], high += b[s + w / 2] * t[s + w / 2];
    exponent[p] += low + high;
  }
}

void tilt(const double* reference, const double* exponent, double* mass,
          std::size_t points) noexcept {
  for (std::size_t p = 0; p < points; ++p) {
    mass[p] = reference[p] * vec_exp(exponent[p] < 600 ? exponent[p] : 600);
  }
}

void add_moments(const FeatureView& f, const double* mass, double* moments,
                 std::size_t points) noexcept {
  for (std::size_t p = 0; p < points; ++p) {
    double* g = moments + f.start[p];
    const double* b = f.value + w * p;
    for (std::size_t s = 0; s < w; ++s) g[s] += mass[p] * b[s];
  }
}

void add_products(const FeatureView& k, const FeatureView& l, const double* mass,
                  const std::uint32_t* listed, std::size_t count, std::size_t used, double* block,
                  std::size_t stride) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t p = listed[i];
    const double* bk = k.value + w * p;
    const double* bl = l.value + w * p;
    double* row = block + static_cast<std::size_t>(k.start[p]) * stride +
                  static_cast<std::size_t>(l.start[p]);
    for (std::size_t r = 0; r < used; ++r, row += stride) {
      const double f = mass[p] * bk[r];
      for (std::size_t s = 0; s < w; ++s) row[s] += f * bl[s];
    }
  }
}

}  // namespace

template <>
const InverseKernels& InverseKernels::at<level_of_this_file>() noexcept {
  static constexpr InverseKernels table{&recouple::add_exponent, &recouple::tilt,
                                        &recouple::add_moments, &recouple::add_products};
  return table;
}

}  // namespace recouple
