#include "recouple/inverse_mixture.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "inverse_shared.hpp"
#include "recouple/parallel.hpp"

namespace recouple {
namespace {

using Numbers = std::vector<double>;

// In place, lower triangle; false if a pivot is not positive.
bool factor(double* a, std::size_t n) noexcept {
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    if (!(a[j * n + j] > 0) || !std::isfinite(a[j * n + j])) return false;
    const double root = a[j * n + j] = std::sqrt(a[j * n + j]);
    for (std::size_t i = j + 1; i < n; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= root;
    }
  }
  return true;
}

// The inverse (n, n) of L L'.
void invert(const double* l, std::size_t n, double* inverse) noexcept {
  for (std::size_t c = 0; c < n; ++c) {
    double* x = inverse + c * n;  // symmetric: a row does for a column
    for (std::size_t i = 0; i < n; ++i) {
      double s = i == c ? 1 : 0;
      for (std::size_t k = 0; k < i; ++k) s -= l[i * n + k] * x[k];
      x[i] = s / l[i * n + i];
    }
    for (std::size_t i = n; i-- > 0;) {
      for (std::size_t k = i + 1; k < n; ++k) x[i] -= l[k * n + i] * x[k];
      x[i] /= l[i * n + i];
    }
  }
}

// A component at one time.
struct Component {
  Numbers mean, rate;     // D
  Numbers inverse;        // S^-1 (D, D)
  Numbers gain;           // Sigma M' S^-1 (2D, D)
  Numbers slope;          // A (D, D)
  Numbers lever;          // B = N - A M (D, 2D)
  Numbers lever_factor;   // B L (D, 2D)
  Numbers weight_factor;  // M' S^-1 M L (2D, 2D)
  double log_norm;        // log w - log|S| / 2 - D log(2 pi) / 2
  bool good;

  Component(const MixtureFactors& mixture, std::size_t d, std::size_t k, double t);
};

Component::Component(const MixtureFactors& mixture, std::size_t d, std::size_t k, double t)
    : mean(d),
      rate(d),
      inverse(d * d),
      gain(2 * d * d),
      slope(d * d),
      lever(2 * d * d),
      lever_factor(2 * d * d),
      weight_factor(4 * d * d),
      log_norm(0),
      good(true) {
  const std::size_t w = 2 * d;
  const double a = 1 - t, b = t;
  const double* m = &mixture.means[k * w];
  const double* l = &mixture.factors[k * w * w];
  for (std::size_t r = 0; r < d; ++r) {
    mean[r] = a * m[r] + b * m[d + r];
    rate[r] = m[d + r] - m[r];
  }
  Numbers seen(d * w);  // M L
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t c = 0; c < w; ++c) seen[r * w + c] = a * l[r * w + c] + b * l[(d + r) * w + c];
  }
  Numbers s(d * d), cross(w * d);  // S and Sigma M'
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t c = 0; c < d; ++c) {
      for (std::size_t i = 0; i < w; ++i) s[r * d + c] += seen[r * w + i] * seen[c * w + i];
    }
  }
  for (std::size_t r = 0; r < w; ++r) {
    for (std::size_t c = 0; c < d; ++c) {
      for (std::size_t i = 0; i <= r; ++i) cross[r * d + c] += l[r * w + i] * seen[c * w + i];
    }
  }
  good = factor(s.data(), d);
  if (!good) return;
  invert(s.data(), d, inverse.data());
  log_norm = std::log(mixture.weights[k]) - 0.5 * double(d) * std::log(2 * std::numbers::pi);
  for (std::size_t r = 0; r < d; ++r) log_norm -= std::log(s[r * d + r]);
  for (std::size_t r = 0; r < w; ++r) {
    for (std::size_t c = 0; c < d; ++c) {
      for (std::size_t i = 0; i < d; ++i) {
        gain[r * d + c] += cross[r * d + i] * inverse[i * d + c];
      }
    }
  }
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t c = 0; c < d; ++c) {
      const double slope_rc = gain[(d + r) * d + c] - gain[r * d + c];
      slope[r * d + c] = slope_rc;
      lever[r * w + c] = (r == c ? -1.0 : 0.0) - a * slope_rc;
      lever[r * w + d + c] = (r == c ? 1.0 : 0.0) - b * slope_rc;
    }
  }
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t i = 0; i < w; ++i) {
      for (std::size_t c = 0; c <= i; ++c) {
        lever_factor[r * w + c] += lever[r * w + i] * l[i * w + c];
      }
    }
  }
  for (std::size_t r = 0; r < d; ++r) {
    for (std::size_t c = 0; c < w; ++c) {
      double sum = 0;
      for (std::size_t i = 0; i < d; ++i) sum += inverse[r * d + i] * seen[i * w + c];
      weight_factor[r * w + c] = a * sum;
      weight_factor[(d + r) * w + c] = b * sum;
    }
  }
}

// Posterior weights of the components at a point, and what they are made of.
struct Place {
  Numbers share, pull, velocity;  // r (K), S^-1 (x - m) (K, D), u (K, D)
  double log_density = 0;

  Place(std::size_t count, std::size_t d) : share(count), pull(count * d), velocity(count * d) {}
  void at(const std::vector<Component>& components, std::size_t d, const double* x) noexcept;
};

void Place::at(const std::vector<Component>& components, std::size_t d, const double* x) noexcept {
  double top = -HUGE_VAL;
  for (std::size_t k = 0; k < components.size(); ++k) {
    const Component& c = components[k];
    double* q = &pull[k * d];
    double* u = &velocity[k * d];
    double square = 0;
    for (std::size_t r = 0; r < d; ++r) {
      q[r] = 0;
      u[r] = c.rate[r];
    }
    for (std::size_t r = 0; r < d; ++r) {
      const double shifted = x[r] - c.mean[r];
      for (std::size_t i = 0; i < d; ++i) {
        q[i] += c.inverse[r * d + i] * shifted;
        u[i] += c.slope[i * d + r] * shifted;
      }
    }
    for (std::size_t r = 0; r < d; ++r) square += q[r] * (x[r] - c.mean[r]);
    share[k] = c.log_norm - 0.5 * square;
    top = std::max(top, share[k]);
  }
  double total = 0;
  for (double& r : share) total += r = std::exp(r - top);
  for (double& r : share) r /= total;
  log_density = top + std::log(total);
}

void check(const TimedPoints& p, const MixtureFactors& m) {
  const std::size_t w = 2 * p.dim;
  require(p.dim > 0 && !p.times.empty() && p.x.size() % p.dim == 0, "points must have rows of dim");
  require(p.first.size() == p.times.size() + 1 && p.first.front() == 0 &&
              p.first.back() == p.count() && std::is_sorted(p.first.begin(), p.first.end()),
          "first must hold the offsets of each time's points");
  require(m.size() > 0 && m.means.size() == m.size() * w && m.factors.size() == m.size() * w * w,
          "means and factors must have an entry per component");
  for (const auto values : {p.times, p.x, m.weights, m.means, m.factors}) {
    for (const double v : values) require(std::isfinite(v), "the fit must have finite numbers");
  }
  for (const double v : m.weights) require(v > 0, "weights must be positive");
}

std::vector<Component> components_at(const MixtureFactors& mixture, std::size_t d, double t) {
  std::vector<Component> out;
  for (std::size_t k = 0; k < mixture.size(); ++k) out.emplace_back(mixture, d, k, t);
  return out;
}

// Components at every time.
std::vector<std::vector<Component>> prepare(const TimedPoints& points,
                                            const MixtureFactors& mixture) {
  std::vector<std::vector<Component>> out;
  for (const double t : points.times) out.push_back(components_at(mixture, points.dim, t));
  return out;
}

bool all_good(const std::vector<std::vector<Component>>& prepared) {
  for (const auto& components : prepared) {
    for (const Component& c : components) {
      if (!c.good) return false;
    }
  }
  return true;
}

}  // namespace

MixtureUpdate mixture_em_step(const TimedPoints& points, const MixtureFactors& mixture,
                              double floor, int threads) {
  check(points, mixture);
  const std::size_t d = points.dim, w = 2 * d, count = mixture.size(), times = points.times.size();
  const auto prepared = prepare(points, mixture);
  MixtureUpdate out{Numbers(count), Numbers(count * w), Numbers(count * w * w), 0,
                    all_good(prepared)};
  if (!out.good) return out;
  // Sums over the points of one time: mass, r (x - m), r (x - m)(x - m)', log density.
  const std::size_t stride = 1 + d + d * d;
  std::vector<Numbers> sums(times, Numbers(count * stride));
  Numbers logs(times);
  const double work = double(points.count()) * double(count) * (20 + 3 * double(d * d));
  parallel_for(times, threads_for(work, threads), [&](std::size_t task) noexcept {
    Place place(count, d);
    Numbers shifted(d);
    for (std::size_t i = points.first[task]; i < points.first[task + 1]; ++i) {
      const double* x = &points.x[i * d];
      place.at(prepared[task], d, x);
      logs[task] += place.log_density;
      for (std::size_t k = 0; k < count; ++k) {
        double* sum = &sums[task][k * stride];
        const double r = place.share[k];
        for (std::size_t a = 0; a < d; ++a) shifted[a] = x[a] - prepared[task][k].mean[a];
        sum[0] += r;
        for (std::size_t a = 0; a < d; ++a) {
          sum[1 + a] += r * shifted[a];
          for (std::size_t b = 0; b < d; ++b) sum[1 + d + a * d + b] += r * shifted[a] * shifted[b];
        }
      }
    }
  });
  for (const double l : logs) out.log_likelihood += l;
  for (std::size_t k = 0; k < count; ++k) {
    double mass = 0;
    Numbers move(w), second(w * w), half(w * d);
    for (std::size_t task = 0; task < times; ++task) {
      const Component& c = prepared[task][k];
      const double* sum = &sums[task][k * stride];
      const double a = 1 - points.times[task], b = points.times[task];
      mass += sum[0];
      // E[z - m | x] = G (x - M m); Cov[z | x] = Sigma - G M Sigma = Sigma - G S G'. Together
      // G (sum r (x - m)(x - m)' - mass S) G' + mass Sigma.
      for (std::size_t r = 0; r < w; ++r) {
        for (std::size_t i = 0; i < d; ++i) {
          move[r] += c.gain[r * d + i] * sum[1 + i];
          half[r * d + i] = 0;
          for (std::size_t j = 0; j < d; ++j) {
            half[r * d + i] += c.gain[r * d + j] * sum[1 + d + j * d + i];
          }
        }
      }
      // M Sigma, the transpose of G S: from G and S = M Sigma M', S^-1 is at hand, so use L.
      Numbers seen(d * w);
      const double* l = &mixture.factors[k * w * w];
      for (std::size_t r = 0; r < d; ++r) {
        for (std::size_t i = 0; i < w; ++i) {
          double s = 0;
          for (std::size_t j = 0; j <= i; ++j) {
            s += (a * l[r * w + j] + b * l[(d + r) * w + j]) * l[i * w + j];
          }
          seen[r * w + i] = s;
        }
      }
      for (std::size_t r = 0; r < w; ++r) {
        for (std::size_t i = 0; i < w; ++i) {
          double s = 0;
          for (std::size_t j = 0; j < d; ++j) {
            s += half[r * d + j] * c.gain[i * d + j] - sum[0] * c.gain[r * d + j] * seen[j * w + i];
          }
          second[r * w + i] += s;
        }
      }
    }
    if (!(mass > 2 * double(w))) {
      out.good = false;
      return out;
    }
    const double* l = &mixture.factors[k * w * w];
    out.weights[k] = mass / double(points.count());
    for (std::size_t r = 0; r < w; ++r) {
      out.means[k * w + r] = mixture.means[k * w + r] + move[r] / mass;
    }
    for (std::size_t r = 0; r < w; ++r) {
      for (std::size_t i = 0; i < w; ++i) {
        double s = (second[r * w + i] + second[i * w + r]) / (2 * mass);
        for (std::size_t j = 0; j <= std::min(r, i); ++j) s += l[r * w + j] * l[i * w + j];
        out.covs[(k * w + r) * w + i] =
            s - move[r] * move[i] / (mass * mass) + (r == i ? floor : 0.0);
      }
    }
    Numbers trial(out.covs.begin() + std::ptrdiff_t(k * w * w),
                  out.covs.begin() + std::ptrdiff_t((k + 1) * w * w));
    if (!factor(trial.data(), w)) out.good = false;
  }
  return out;
}

void mixture_posterior(const TimedPoints& points, const MixtureFactors& mixture,
                       std::span<double> shares, std::span<double> pulls, int threads) {
  check(points, mixture);
  const std::size_t d = points.dim, count = mixture.size();
  const auto prepared = prepare(points, mixture);
  require(all_good(prepared), "the covariance of X_t must be positive definite");
  const double work = double(points.count()) * double(count) * (20 + 2 * double(d * d));
  parallel_for(points.times.size(), threads_for(work, threads), [&](std::size_t task) noexcept {
    Place place(count, d);
    for (std::size_t i = points.first[task]; i < points.first[task + 1]; ++i) {
      place.at(prepared[task], d, &points.x[i * d]);
      for (std::size_t k = 0; k < count; ++k) {
        shares[i * count + k] = place.share[k];
        for (std::size_t r = 0; r < d; ++r) {
          pulls[(i * count + k) * d + r] = place.share[k] * place.pull[k * d + r];
        }
      }
    }
  });
}

void mixture_jacobian(const TimedPoints& points, const MixtureFactors& mixture,
                      std::span<double> velocity, std::span<double> log_density,
                      std::span<double> jacobian, std::span<double> scores, int threads) {
  check(points, mixture);
  const std::size_t d = points.dim, w = 2 * d, count = mixture.size();
  const std::size_t each = mixture_parameters(d), columns = count * each;
  require(jacobian.empty() || jacobian.size() == points.count() * d * columns,
          "jacobian must have count * dim rows");
  require(scores.empty() || scores.size() == points.count() * columns,
          "scores must have count rows");
  const auto prepared = prepare(points, mixture);
  require(all_good(prepared), "the covariance of X_t must be positive definite");
  const double work = double(points.count()) * double(columns) * double(d);
  parallel_for(points.times.size(), threads_for(work, threads), [&](std::size_t task) noexcept {
    Place place(count, d);
    Numbers v(d), h(w), e(w), logs(each);
    for (std::size_t i = points.first[task]; i < points.first[task + 1]; ++i) {
      place.at(prepared[task], d, &points.x[i * d]);
      std::fill(v.begin(), v.end(), 0.0);
      for (std::size_t k = 0; k < count; ++k) {
        for (std::size_t r = 0; r < d; ++r) v[r] += place.share[k] * place.velocity[k * d + r];
      }
      if (!velocity.empty()) std::copy(v.begin(), v.end(), &velocity[i * d]);
      if (!log_density.empty()) log_density[i] = place.log_density;
      if (jacobian.empty() && scores.empty()) continue;
      const double b = points.times[task], a = 1 - b;
      for (std::size_t k = 0; k < count; ++k) {
        const Component& c = prepared[task][k];
        const double share = place.share[k];
        const double* l = &mixture.factors[k * w * w];
        for (std::size_t r = 0; r < d; ++r) {
          h[r] = a * place.pull[k * d + r];
          h[d + r] = b * place.pull[k * d + r];
        }
        for (std::size_t s = 0; s < w; ++s) {
          e[s] = 0;
          for (std::size_t r = s; r < w; ++r) e[s] += l[r * w + s] * h[r];
        }
        // Derivatives of log(w_k N(x; M m_k, S_k)), the weight's apart.
        std::size_t at = 1;
        logs[0] = 1;
        for (std::size_t s = 0; s < w; ++s) logs[at++] = h[s];
        for (std::size_t r = 0; r < w; ++r) {
          for (std::size_t s = 0; s <= r; ++s) {
            const double scale = r == s ? l[r * w + r] : 1;
            logs[at++] = scale * (h[r] * e[s] - c.weight_factor[r * w + s]);
          }
        }
        if (!scores.empty()) {
          double* row = &scores[i * columns + k * each];
          for (std::size_t p = 0; p < each; ++p) row[p] = share * logs[p];
          row[0] -= mixture.weights[k];
        }
        if (jacobian.empty()) continue;
        for (std::size_t o = 0; o < d; ++o) {
          double* row = &jacobian[(i * d + o) * columns + k * each];
          const double* lever = &c.lever[o * w];
          const double* lever_factor = &c.lever_factor[o * w];
          const double apart = share * (place.velocity[k * d + o] - v[o]);
          at = 0;
          row[at++] = apart;
          for (std::size_t s = 0; s < w; ++s, ++at) row[at] = apart * logs[at] + share * lever[s];
          for (std::size_t r = 0; r < w; ++r) {
            for (std::size_t s = 0; s < r; ++s, ++at) {
              row[at] = apart * logs[at] + share * (lever[r] * e[s] + lever_factor[s] * h[r]);
            }
            row[at] = apart * logs[at] +
                      share * l[r * w + r] * (lever[r] * e[r] + lever_factor[r] * h[r]);
            ++at;
          }
        }
      }
    }
  });
}

}  // namespace recouple
