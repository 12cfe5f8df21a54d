#include "kernels/field_mixture.hpp"

#include "kernels/product.hpp"
#include "kernels/vecmath.hpp"

namespace recouple {
namespace {

// Components one after the other, with a running maximum of the exponents at each point. With u_k
// the velocity and s_k = -W' W (x - m_k) the score in component k, the divergence of
// v = sum r_k u_k is sum r_k tr A_k + sum r_k s_k . (u_k - v).
void velocity(const ComponentView* components, std::size_t count, std::size_t dim, const double* x,
              std::size_t n, double* v, double* div, double* scratch) noexcept {
  const std::size_t padded = (dim + column_padding - 1) / column_padding * column_padding;
  const std::size_t both = 2 * padded;
  double* shifted = scratch;          // (n, dim): x - m_k
  double* forms = shifted + n * dim;  // (n, both): W (x - m_k) and A (x - m_k)
  double* score = forms + n * both;   // (n, padded): W' W (x - m_k)
  double* sum = score + n * padded;   // (n, padded): of p_k u_k
  double* scores = sum + n * padded;  // (n, padded): of p_k s_k
  double top[mixture_points], total[mixture_points], trace[mixture_points], cross[mixture_points];
  for (std::size_t i = 0; i < n; ++i) {
    top[i] = -__builtin_inf(), total[i] = trace[i] = cross[i] = 0;
  }
  for (std::size_t i = 0; i < n * padded; ++i) sum[i] = scores[i] = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const ComponentView& g = components[k];
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < dim; ++c) shifted[i * dim + c] = x[i * dim + c] - g.mean[c];
    }
    product(n, dim, both, shifted, dim, g.forms, both, nullptr, 0, forms, both);
    if (div != nullptr) {
      product(n, dim, padded, forms, both, g.whiten, padded, nullptr, 0, score, padded);
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double* z = forms + i * both;
      const double* u = z + padded;
      double square = 0;
      for (std::size_t c = 0; c < dim; ++c) square += z[c] * z[c];
      const double s = g.log_weight - 0.5 * square;
      double* to = sum + i * padded;
      double* to_scores = scores + i * padded;
      double p = 1;
      if (s > top[i]) {
        const double shrink = vec_exp(top[i] - s);
        top[i] = s;
        total[i] *= shrink, trace[i] *= shrink, cross[i] *= shrink;
        for (std::size_t c = 0; c < dim; ++c) to[c] *= shrink;
        if (div != nullptr) {
          for (std::size_t c = 0; c < dim; ++c) to_scores[c] *= shrink;
        }
      } else {
        p = vec_exp(s - top[i]);  // NaN where x is
      }
      total[i] += p;
      for (std::size_t c = 0; c < dim; ++c) to[c] += p * (g.rate[c] + u[c]);
      if (div != nullptr) {
        trace[i] += p * g.trace;
        double dot = 0;
        for (std::size_t c = 0; c < dim; ++c) {
          to_scores[c] -= p * score[i * padded + c];
          dot += score[i * padded + c] * (g.rate[c] + u[c]);
        }
        cross[i] -= p * dot;
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    const double inverse = 1 / total[i];
    double dot = 0;
    for (std::size_t c = 0; c < dim; ++c) {
      v[i * dim + c] = sum[i * padded + c] * inverse;
      dot += v[i * dim + c] * scores[i * padded + c];
    }
    if (div != nullptr) div[i] = (trace[i] + cross[i] - dot) * inverse;
  }
}

void affine(const ComponentView& g, std::size_t dim, const double* offset, const double* x,
            std::size_t n, double* v, double* scratch) noexcept {
  const std::size_t padded = (dim + column_padding - 1) / column_padding * column_padding;
  if (dim == padded) {
    product(n, dim, padded, x, dim, g.forms + padded, 2 * padded, offset, 0, v, dim);
    return;
  }
  for (std::size_t i = 0; i < n; i += mixture_points) {
    const std::size_t m = n - i < mixture_points ? n - i : mixture_points;
    product(m, dim, padded, x + i * dim, dim, g.forms + padded, 2 * padded, offset, 0, scratch,
            padded);
    for (std::size_t r = 0; r < m; ++r) {
      for (std::size_t c = 0; c < dim; ++c) v[(i + r) * dim + c] = scratch[r * padded + c];
    }
  }
}

}  // namespace

template <>
const MixtureKernels& MixtureKernels::at<level_of_this_file>() noexcept {
  static constexpr MixtureKernels table{&recouple::velocity, &recouple::affine};
  return table;
}

}  // namespace recouple
