#include "kernels/inverse.hpp"

#include "kernels/lanes8.hpp"
#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

constexpr std::size_t w = feature_width;

void add_exponent(const FeatureView& f, const double* theta, double* exponent,
                  std::size_t points) noexcept {
  for (std::size_t p = 0; p < points; ++p) {
    Lanes8 b, t;
    load8(f.value + w * p, b);
    load8(theta + f.start[p], t);
    const Lanes8 product = b * t;
    exponent[p] += ((product[0] + product[1]) + (product[2] + product[3])) +
                   ((product[4] + product[5]) + (product[6] + product[7]));
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
    double* at = moments + f.start[p];
    Lanes8 b, g;
    load8(f.value + w * p, b);
    load8(at, g);
    store8(at, g + mass[p] * b);
  }
}

// Neighbours often lie in the same intervals of both features: their sum waits in registers.
template <std::size_t used>
void add_products_of(const FeatureView& k, const FeatureView& l, const double* mass,
                     const std::uint32_t* listed, std::size_t count, double* block,
                     std::size_t stride) noexcept {
  for (std::size_t i = 0; i < count;) {
    std::size_t p = listed[i];
    const std::int32_t at_k = k.start[p], at_l = l.start[p];
    Lanes8 sum[used] = {};
    do {
      const double* bk = k.value + w * p;
      Lanes8 bl;
      load8(l.value + w * p, bl);
      bl *= mass[p];
      for (std::size_t r = 0; r < used; ++r) sum[r] += bk[r] * bl;
      if (++i == count) break;
      p = listed[i];
    } while (k.start[p] == at_k && l.start[p] == at_l);
    double* row = block + static_cast<std::size_t>(at_k) * stride + static_cast<std::size_t>(at_l);
    for (std::size_t r = 0; r < used; ++r) {
      Lanes8 h;
      load8(row + r * stride, h);
      store8(row + r * stride, h + sum[r]);
    }
  }
}

void add_products(const FeatureView& k, const FeatureView& l, const double* mass,
                  const std::uint32_t* listed, std::size_t count, std::size_t used, double* block,
                  std::size_t stride) noexcept {
  switch (used) {
    case 4:
      return add_products_of<4>(k, l, mass, listed, count, block, stride);
    case 6:
      return add_products_of<6>(k, l, mass, listed, count, block, stride);
    default:
      return add_products_of<w>(k, l, mass, listed, count, block, stride);
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
