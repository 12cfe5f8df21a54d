#include "recouple/field_mixture.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/field_mixture.hpp"

namespace recouple {
namespace {

std::size_t padded(std::size_t dim) noexcept {
  return (dim + 7) / 8 * 8;
}

// Directions of X_t shorter than this, relative to the longest, are rounding errors.
constexpr double negligible = 1e-13;
// How thick, relative to the plan, the support of a singular X_t is taken to be.
constexpr double thickness = 1e-9;

double dot(const double* x, const double* y, std::size_t n) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// Takes from x (n) its parts along the first `count` rows of basis (., n); their lengths are added
// to `parts`. Twice, so that what is left is orthogonal to rounding.
void orthogonalise(double* x, std::size_t n, const std::vector<double>& basis, std::size_t count,
                   double* parts) noexcept {
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t p = 0; p < count; ++p) {
      const double along = dot(x, &basis[p * n], n);
      for (std::size_t i = 0; i < n; ++i) x[i] -= along * basis[p * n + i];
      if (parts != nullptr) parts[p] += along;
    }
  }
}

}  // namespace

struct MixtureFieldND::Prepared {
  Prepared(const MixturePlan& plan, const Coefficients& c, double t, double scale);

  double t;
  std::size_t dim, pad;
  std::vector<double> numbers;  // what the views point into
  std::vector<ComponentView> components;
  std::vector<double> slopes;     // A, (K, dim, dim)
  std::vector<double> residuals;  // Cov(dX_t/dt | X_t), (K, dim, dim)
  std::vector<double> offset;     // rate - A mean of the first component, padded
  double log_norm;

 private:
  void component(const MixturePlan& plan, const Coefficients& c, std::size_t k, double scale,
                 double* out);
};

MixtureFieldND::Prepared::Prepared(const MixturePlan& plan, const Coefficients& c, double time,
                                   double scale)
    : t(time),
      dim(plan.dim),
      pad(padded(plan.dim)),
      numbers(plan.size() * (2 * dim + 3 * dim * pad), 0.0),
      components(plan.size()),
      slopes(plan.size() * dim * dim),
      residuals(plan.size() * dim * dim),
      offset(pad, 0.0),
      log_norm(-0.5 * double(plan.dim) * std::log(2 * std::numbers::pi)) {
  for (std::size_t k = 0; k < plan.size(); ++k) {
    component(plan, c, k, scale, &numbers[k * (2 * dim + 3 * dim * pad)]);
  }
  const ComponentView& first = components[0];
  for (std::size_t r = 0; r < dim; ++r) {
    offset[r] = first.rate[r] - dot(&slopes[r * dim], first.mean, dim);
  }
}

void MixtureFieldND::Prepared::component(const MixturePlan& plan, const Coefficients& c,
                                         std::size_t k, double scale, double* out) {
  const std::size_t d = dim, w = 2 * dim;
  double* mean = out;
  double* rate = mean + d;
  double* forms = rate + d;
  double* whiten = forms + 2 * d * pad;
  const double* m = &plan.means[k * w];
  const double* root = &plan.roots[k * w * w];
  for (std::size_t r = 0; r < d; ++r) {
    mean[r] = c.a * m[r] + c.b * m[d + r];
    rate[r] = c.da * m[r] + c.db * m[d + r];
  }

  // M = G Q with orthonormal rows in Q (rank, 2D), and N = dM/dt resolved along them: N Q'.
  std::vector<double> q(d * w), g(d * d, 0.0), line(w);
  std::size_t rank = 0;
  double longest = 0;
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t i = 0; i < w; ++i)
      line[i] = c.a * root[r * w + i] + c.b * root[(d + r) * w + i];
    longest = std::max(longest, std::sqrt(dot(line.data(), line.data(), w)));
  }
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t i = 0; i < w; ++i)
      line[i] = c.a * root[r * w + i] + c.b * root[(d + r) * w + i];
    orthogonalise(line.data(), w, q, rank, &g[r * d]);
    const double length = std::sqrt(dot(line.data(), line.data(), w));
    if (!(length > negligible * longest)) continue;
    g[r * d + rank] = length;
    for (std::size_t i = 0; i < w; ++i) q[rank * w + i] = line[i] / length;
    ++rank;
  }
  std::vector<double> n(d * w), along(d * std::max<std::size_t>(rank, 1));
  for (std::size_t r = 0; r < d; ++r) {
    double* row = &n[r * w];
    for (std::size_t i = 0; i < w; ++i) {
      row[i] = c.da * root[r * w + i] + c.db * root[(d + r) * w + i];
    }
    for (std::size_t p = 0; p < rank; ++p) along[r * rank + p] = dot(row, &q[p * w], w);
    for (std::size_t p = 0; p < rank; ++p) {
      for (std::size_t i = 0; i < w; ++i) row[i] -= along[r * rank + p] * q[p * w + i];
    }
  }
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t s = 0; s < d; ++s) {
      residuals[(k * d + r) * d + s] = dot(&n[r * w], &n[s * w], w);
    }
  }

  // W: the inverse of G, or its pseudo-inverse above unit normals of the support over `thick`.
  const double thick = thickness * scale;
  std::vector<double> inverse(d * d, 0.0);
  double log_det = 0;
  if (rank == d) {
    for (std::size_t col = 0; col < d; ++col) {
      for (std::size_t r = col; r < d; ++r) {
        double sum = r == col ? 1 : 0;
        for (std::size_t s = col; s < r; ++s) sum -= g[r * d + s] * inverse[s * d + col];
        inverse[r * d + col] = sum / g[r * d + r];
      }
    }
    for (std::size_t r = 0; r < d; ++r) log_det += std::log(g[r * d + r]);
  } else {
    // Columns of G: an orthonormal basis of the support, completed by axes made orthogonal to it.
    std::vector<double> basis(d * d), upper(d * d, 0.0), column(d);
    for (std::size_t p = 0; p < rank; ++p) {
      for (std::size_t r = 0; r < d; ++r) column[r] = g[r * d + p];
      orthogonalise(column.data(), d, basis, p, &upper[p * d]);
      const double length = std::sqrt(dot(column.data(), column.data(), d));
      upper[p * d + p] = length;
      for (std::size_t r = 0; r < d; ++r) basis[p * d + r] = column[r] / length;
      log_det += std::log(length);
    }
    std::size_t count = rank;
    for (double least = 0.5; count < d; least *= 0.5) {
      for (std::size_t axis = 0; axis < d && count < d; ++axis) {
        std::fill(column.begin(), column.end(), 0.0);
        column[axis] = 1;
        orthogonalise(column.data(), d, basis, count, nullptr);
        const double length = std::sqrt(dot(column.data(), column.data(), d));
        if (length < least) continue;
        for (std::size_t r = 0; r < d; ++r) {
          basis[count * d + r] = column[r] / length;
          inverse[count * d + r] = basis[count * d + r] / thick;
        }
        ++count;
        log_det += std::log(thick);
      }
    }
    // G = basis' T with T upper triangular, T[s][p] = upper[p][s]: the first rows of W are T^-1
    // basis.
    for (std::size_t p = rank; p-- > 0;) {
      for (std::size_t r = 0; r < d; ++r) {
        double sum = basis[p * d + r];
        for (std::size_t s = p + 1; s < rank; ++s) sum -= upper[s * d + p] * inverse[s * d + r];
        inverse[p * d + r] = sum / upper[p * d + p];
      }
    }
  }
  double* slope = &slopes[k * d * d];
  double trace = 0;
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t s = 0; s < d; ++s) {
      double sum = 0;
      for (std::size_t p = 0; p < rank; ++p) sum += along[r * rank + p] * inverse[p * d + s];
      slope[r * d + s] = sum;
      forms[s * 2 * pad + pad + r] = sum;
      forms[s * 2 * pad + r] = inverse[r * d + s];
      whiten[r * pad + s] = inverse[r * d + s];
    }
    trace += slope[r * d + r];
  }
  components[k] = {mean, rate, forms, whiten, std::log(plan.weights[k]) - log_det, trace};
}

struct MixtureFieldND::Cache {
  std::atomic<std::shared_ptr<const Prepared>> last;
};

MixtureFieldND::MixtureFieldND(MixturePlan plan, Interpolant interpolant)
    : plan_(std::move(plan)),
      interpolant_(std::move(interpolant)),
      scale_(0),
      cache_(std::make_shared<Cache>()) {
  const std::size_t w = 2 * plan_.dim;
  for (std::size_t k = 0; k < plan_.size(); ++k) {
    double square = 0;
    for (std::size_t i = 0; i < w; ++i) {
      square += plan_.covs[(k * w + i) * w + i] + plan_.means[k * w + i] * plan_.means[k * w + i];
    }
    scale_ = std::max(scale_, std::sqrt(square));
  }
  if (scale_ == 0) scale_ = 1;
}

std::shared_ptr<const MixtureFieldND::Prepared> MixtureFieldND::prepare(double t) const {
  std::shared_ptr<const Prepared> last = cache_->last.load();
  if (last && last->t == t) return last;
  last = std::make_shared<const Prepared>(plan_, interpolant_(t), t, scale_);
  cache_->last.store(last);
  return last;
}

double MixtureFieldND::cost_ns() const noexcept {
  const double d = double(plan_.dim);
  return double(plan_.size()) * (2 + d + 0.1 * d * d);
}

void MixtureFieldND::operator()(double t, std::span<const double> x,
                                std::span<double> v) const noexcept {
  divergence(t, x, v, {});
}

void MixtureFieldND::divergence(double t, std::span<const double> x, std::span<double> v,
                                std::span<double> div) const noexcept {
  const std::size_t d = plan_.dim, n = x.size() / d;
  const auto now = prepare(t);
  thread_local std::vector<double> scratch;
  scratch.resize(mixture_points * (d + 5 * padded(d)));
  if (now->components.size() == 1) {
    kernels<MixtureKernels>().affine(now->components[0], d, now->offset.data(), x.data(), n,
                                     v.data(), scratch.data());
    std::fill(div.begin(), div.end(), now->components[0].trace);
    return;
  }
  for (std::size_t i = 0; i < n; i += mixture_points) {
    kernels<MixtureKernels>().velocity(now->components.data(), now->components.size(), d, &x[i * d],
                                       std::min(mixture_points, n - i), &v[i * d],
                                       div.empty() ? nullptr : &div[i], scratch.data());
  }
}

void MixtureFieldND::local(double t, std::span<const double> x, std::span<double> log_density,
                           std::span<double> score, std::span<double> covariance) const {
  const std::size_t d = plan_.dim, n = x.size() / d, count = plan_.size();
  const auto now = prepare(t);
  std::vector<double> share(count), z(count * d), u(count * d), s(count * d), shifted(d), mean(d);
  for (std::size_t i = 0; i < n; ++i) {
    double top = -std::numeric_limits<double>::infinity(), total = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const ComponentView& g = now->components[k];
      for (std::size_t r = 0; r < d; ++r) shifted[r] = x[i * d + r] - g.mean[r];
      double square = 0;
      for (std::size_t r = 0; r < d; ++r) {
        z[k * d + r] = dot(&g.whiten[r * now->pad], shifted.data(), d);
        square += z[k * d + r] * z[k * d + r];
        u[k * d + r] = g.rate[r] + dot(&now->slopes[(k * d + r) * d], shifted.data(), d);
      }
      for (std::size_t r = 0; r < d; ++r) {
        s[k * d + r] = 0;
        for (std::size_t p = 0; p < d; ++p)
          s[k * d + r] -= g.whiten[p * now->pad + r] * z[k * d + p];
      }
      share[k] = g.log_weight - 0.5 * square;
      top = std::max(top, share[k]);
    }
    for (double& p : share) total += p = std::exp(p - top);
    if (!log_density.empty()) log_density[i] = top + std::log(total) + now->log_norm;
    for (double& p : share) p /= total;
    if (!score.empty()) {
      for (std::size_t r = 0; r < d; ++r) {
        score[i * d + r] = 0;
        for (std::size_t k = 0; k < count; ++k) score[i * d + r] += share[k] * s[k * d + r];
      }
    }
    if (covariance.empty()) continue;
    for (std::size_t r = 0; r < d; ++r) {
      mean[r] = 0;
      for (std::size_t k = 0; k < count; ++k) mean[r] += share[k] * u[k * d + r];
    }
    for (std::size_t r = 0; r < d; ++r) {
      for (std::size_t q = 0; q < d; ++q) {
        double sum = 0;
        for (std::size_t k = 0; k < count; ++k) {
          sum += share[k] * (now->residuals[(k * d + r) * d + q] +
                             (u[k * d + r] - mean[r]) * (u[k * d + q] - mean[q]));
        }
        covariance[(i * d + r) * d + q] = sum;
      }
    }
  }
}

void MixtureFieldND::jacobian(double t, std::span<const double> x,
                              std::span<double> jac) const noexcept {
  const std::size_t d = plan_.dim, n = x.size() / d, count = plan_.size();
  const auto now = prepare(t);
  std::vector<double> share(count), z(d), u(count * d), s(count * d), shifted(d), mean(d);
  for (std::size_t i = 0; i < n; ++i) {
    double top = -std::numeric_limits<double>::infinity(), total = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const ComponentView& g = now->components[k];
      for (std::size_t r = 0; r < d; ++r) shifted[r] = x[i * d + r] - g.mean[r];
      double square = 0;
      for (std::size_t r = 0; r < d; ++r) {
        z[r] = dot(&g.whiten[r * now->pad], shifted.data(), d);
        square += z[r] * z[r];
        u[k * d + r] = g.rate[r] + dot(&now->slopes[(k * d + r) * d], shifted.data(), d);
        s[k * d + r] = 0;
      }
      for (std::size_t p = 0; p < d; ++p) {
        for (std::size_t r = 0; r < d; ++r) s[k * d + r] -= g.whiten[p * now->pad + r] * z[p];
      }
      share[k] = g.log_weight - 0.5 * square;
      top = std::max(top, share[k]);
    }
    for (double& p : share) total += p = std::exp(p - top);
    std::fill(mean.begin(), mean.end(), 0.0);
    for (std::size_t k = 0; k < count; ++k) {
      share[k] /= total;
      for (std::size_t r = 0; r < d; ++r) mean[r] += share[k] * u[k * d + r];
    }
    for (std::size_t r = 0; r < d; ++r) {
      for (std::size_t c = 0; c < d; ++c) {
        double sum = 0;
        for (std::size_t k = 0; k < count; ++k) {
          sum += share[k] *
                 (now->slopes[(k * d + r) * d + c] + (u[k * d + r] - mean[r]) * s[k * d + c]);
        }
        jac[(i * d + r) * d + c] = sum;
      }
    }
  }
}

}  // namespace recouple
