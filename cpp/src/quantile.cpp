#include "recouple/quantile.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>

#include "kernels/quantile.hpp"
#include "recouple/parallel.hpp"

namespace recouple {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double deepest = 0x1p-40;
constexpr std::size_t nodes = 7;
constexpr std::size_t probes = 16;
constexpr std::size_t most_cells = std::size_t{1} << 16;

[[noreturn]] void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

std::string text(double x) {
  std::ostringstream out;
  out.precision(17);
  out << x;
  return out.str();
}

// Chebyshev's extreme points on [0, 1], the ends included so that cells join.
const std::array<double, nodes> node_at = [] {
  std::array<double, nodes> s{};
  for (std::size_t j = 0; j < nodes; ++j) {
    s[j] = 0.5 - 0.5 * std::cos(M_PI * double(j) / double(nodes - 1));
  }
  return s;
}();

const std::array<double, probes> probe_at = [] {
  std::array<double, probes> s{};
  for (std::size_t j = 0; j + 1 < nodes; ++j) {
    s[2 * j] = (2 * node_at[j] + node_at[j + 1]) / 3;
    s[2 * j + 1] = (node_at[j] + 2 * node_at[j + 1]) / 3;
  }
  const double golden = 0.6180339887498949;
  for (std::size_t j = 12; j < probes; ++j) s[j] = std::fmod(golden * double(j), 1.0);
  return s;
}();

// A polynomial in (w - left), constant first, with the rounding of the narrowest kernel.
struct Cell {
  double left, right;
  std::array<double, nodes> a;
  double at(double w) const noexcept {
    const double t = w - left;
    double p = a[6];
    for (std::size_t j = 6; j-- > 0;) p = std::fma(p, t, a[j]);
    return p;
  }
};

// The polynomial through the nodes, by Newton's divided differences on [0, 1].
Cell interpolate(double left, double right, const double* x) {
  std::array<double, nodes> d;
  for (std::size_t j = 0; j < nodes; ++j) d[j] = x[j] - x[0];
  for (std::size_t order = 1; order < nodes; ++order) {
    for (std::size_t j = nodes - 1; j >= order; --j) {
      d[j] = (d[j] - d[j - 1]) / (node_at[j] - node_at[j - order]);
    }
  }
  std::array<double, nodes> c{};
  c[0] = d[nodes - 1];
  for (std::size_t j = nodes - 1; j-- > 0;) {
    for (std::size_t k = nodes - 1; k > 0; --k) c[k] = c[k - 1] - node_at[j] * c[k];
    c[0] = d[j] - node_at[j] * c[0];
  }
  c[0] = 0;
  Cell cell{left, right, {}};
  cell.a[0] = x[0];
  double scale = 1;
  for (std::size_t k = 1; k < nodes; ++k) {
    scale /= right - left;
    cell.a[k] = c[k] * scale;
  }
  return cell;
}

Cell straight(double left, double right, double x0, double x1) {
  return {left, right, {x0, (x1 - x0) / (right - left), 0, 0, 0, 0, 0}};
}

// Leans the cell so that, rounding included, it does not pass its last value: the sum with the
// constant rounds monotonically, so only the rounding of the rise needs room.
void keep_within(Cell& cell, double last) {
  const double rise = last - cell.a[0];
  const double margin = 8 * std::numeric_limits<double>::epsilon() * std::abs(rise);
  double t = 1, end = 0;
  for (std::size_t k = 1; k < nodes; ++k) {
    t *= cell.right - cell.left;
    end += cell.a[k] * t;
  }
  const double beyond = rise > 0 ? end - (rise - margin) : (rise + margin) - end;
  if (beyond > 0) cell.a[1] -= (rise > 0 ? beyond : -beyond) / (cell.right - cell.left);
}

// Whether the slope stays above an eighth of the mean slope: checked on the Bernstein coefficients
// of the derivative, whose least bounds it from below. Slopes that vary no more than this keep
// rounding from turning the order of neighbouring values.
bool rises(const Cell& cell, double last) {
  const double width = cell.right - cell.left, mean = (last - cell.a[0]) / width;
  if (!(std::abs(mean) > 0)) return false;
  std::array<double, nodes - 1> d;  // derivative over mean, in powers of s = t / width
  double scale = 1;
  for (std::size_t k = 0; k + 1 < nodes; ++k) {
    d[k] = double(k + 1) * cell.a[k + 1] * scale / mean;
    scale *= width;
  }
  constexpr double binomial5[6] = {1, 5, 10, 10, 5, 1};
  for (std::size_t i = 0; i < 6; ++i) {
    double b = 0, choose = 1;  // C(i, k) / C(5, k)
    for (std::size_t k = 0; k <= i; ++k) {
      b += choose / binomial5[k] * d[k];
      choose = choose * double(i - k) / double(k + 1);
    }
    if (!(b >= 0.125)) return false;
  }
  return true;
}

}  // namespace

Tabulated::Tabulated(AnyMarginal law, double u_error) : law_(std::move(law)), wanted_(u_error) {
  if (!(u_error >= 1e-14 && u_error <= 1e-3)) {
    refuse("u_error must lie in [1e-14, 1e-3], got " + text(u_error));
  }
  guide_.reserve(2 * std::size_t{table_keys});
  build_half(false);
  build_half(true);
}

void Tabulated::build_half(bool upper) {
  const Curve quantile = upper ? Curve::isf : Curve::ppf;
  const Curve tail = upper ? Curve::sf : Curve::cdf;
  const double tolerance = 0.5 * wanted_;
  const auto ask = [&](Curve curve, const std::vector<double>& in, std::vector<double>& out) {
    out.resize(in.size());
    recouple::evaluate(law_, curve, in, out, 0);
    if (const auto error = law_.error()) std::rethrow_exception(error);
  };

  std::vector<std::pair<double, double>> pending, retry;
  for (int octave = 1; octave < table_octaves; ++octave) {
    const double right = std::ldexp(1.0, -octave);
    for (int part = 0; part < 8; ++part) {
      pending.emplace_back(right * 0.5 * (1 + part / 8.0), right * 0.5 * (1 + (part + 1) / 8.0));
    }
  }
  std::vector<Cell> done, trial;
  std::vector<double> w, x, p;
  while (!pending.empty()) {
    if (done.size() + pending.size() > most_cells) {
      refuse("law cannot be certified to u_error = " + text(wanted_) + ": more than " +
             std::to_string(most_cells) + " cells are needed near u = " + (upper ? "1 - " : "") +
             text(pending[pending.size() / 2].first));
    }
    w.clear();
    for (const auto& [a, b] : pending) {
      for (std::size_t j = 0; j + 1 < nodes; ++j) w.push_back(a + (b - a) * node_at[j]);
      w.push_back(b);
    }
    ask(quantile, w, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!std::isfinite(x[i])) {
        refuse("law must have finite quantiles inside (0, 1), got " + text(x[i]) +
               " at u = " + (upper ? "1 - " : "") + text(w[i]));
      }
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (i % nodes == 0) continue;
      const double step = upper ? x[i - 1] - x[i] : x[i] - x[i - 1];
      if (step < -1e-13 * std::abs(x[i])) {
        refuse("law must have increasing quantiles, got " + text(x[i - 1]) + " then " + text(x[i]) +
               " near u = " + (upper ? "1 - " : "") + text(w[i]));
      }
    }
    // The polynomial first, the straight line where that fails, halves where both do.
    std::vector<std::size_t> open(pending.size()), failed;
    std::iota(open.begin(), open.end(), std::size_t{0});
    std::vector<double> at, value, worst(pending.size());
    for (const bool curved : {true, false}) {
      trial.clear(), at.clear(), value.clear(), failed.clear();
      for (const std::size_t i : open) {
        const auto [a, b] = pending[i];
        const double* xs = &x[nodes * i];
        trial.push_back(curved ? interpolate(a, b, xs) : straight(a, b, xs[0], xs[nodes - 1]));
        keep_within(trial.back(), xs[nodes - 1]);
        for (const double s : probe_at) {
          at.push_back(std::min(a + (b - a) * s, std::nextafter(b, 0.0)));
          value.push_back(trial.back().at(at.back()));
        }
      }
      ask(tail, value, p);
      for (std::size_t k = 0; k < open.size(); ++k) {
        const std::size_t i = open[k];
        worst[i] = 0;
        for (std::size_t j = probes * k; j < probes * (k + 1); ++j) {
          const double error = std::abs(p[j] - at[j]);
          worst[i] = error <= worst[i] ? worst[i] : (error >= 0 ? error : infinity);
        }
        if (worst[i] <= tolerance && (!curved || rises(trial[k], x[nodes * i + nodes - 1]))) {
          measured_ = std::max(measured_, worst[i]);
          done.push_back(trial[k]);
        } else {
          failed.push_back(i);
        }
      }
      std::swap(open, failed);
    }
    retry.clear();
    for (const std::size_t i : open) {
      const auto [a, b] = pending[i];
      const double middle = 0.5 * (a + b);
      if (b - a > 0.25 * tolerance && middle > a && middle < b) {
        retry.emplace_back(a, middle);
        retry.emplace_back(middle, b);
      } else {
        refuse("law cannot be certified to u_error = " + text(wanted_) + ": near u = " +
               (upper ? "1 - " : "") + text(a) + " its cdf and ppf disagree by " + text(worst[i]) +
               " (an atom, a jump of the cdf, its noise, or a density too steep for float64)");
      }
    }
    std::swap(pending, retry);
  }

  std::sort(done.begin(), done.end(), [](const Cell& a, const Cell& b) { return a.left < b.left; });
  (upper ? highest_ : lowest_) = done.front().a[0];
  const std::size_t first = left_.size();
  for (const Cell& cell : done) {
    left_.push_back(cell.left);
    cells_.insert(cells_.end(), cell.a.begin(), cell.a.end());
    cells_.push_back(cell.left);
  }
  left_.push_back(infinity);
  cells_.insert(cells_.end(), 8, 0.0);
  std::size_t c = first;
  const std::int64_t base = std::int64_t{1023 - table_octaves} << table_key_bits;
  for (std::int64_t key = 0; key < table_keys; ++key) {
    const double start = std::bit_cast<double>((base + key) << (52 - table_key_bits));
    const double next = std::bit_cast<double>((base + key + 1) << (52 - table_key_bits));
    while (start >= left_[c + 1]) ++c;
    const auto cell = static_cast<std::int32_t>(c);
    guide_.push_back(left_[c + 1] < next ? ~cell : cell);
  }
}

void Tabulated::evaluate(Curve curve, std::span<const double> in,
                         std::span<double> out) const noexcept {
  if (curve != Curve::ppf && curve != Curve::isf) return law_.evaluate(curve, in, out);
  constexpr std::size_t block = 512;
  const bool upper = curve == Curve::isf;
  std::array<double, block> deep, answer;
  std::array<std::size_t, block> where;
  const TableView table{left_.data(), cells_.data(), guide_.data()};
  for (std::size_t first = 0; first < in.size(); first += block) {
    const std::size_t n = std::min(block, in.size() - first);
    const auto u = in.subspan(first, n);
    if (!kernels<QuantileKernels>().lookup(table, upper, u.data(), out.data() + first, n)) continue;
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (u[i] >= deepest && u[i] <= 1 - deepest) continue;
      deep[count] = u[i];
      where[count++] = first + i;
    }
    law_.evaluate(curve, std::span(deep).first(count), std::span(answer).first(count));
    for (std::size_t i = 0; i < count; ++i) {  // not past the table's ends, whatever the law says
      const bool low = deep[i] < 0.5;
      const double end = low == upper ? highest_ : lowest_;
      out[where[i]] = low == upper ? std::max(answer[i], end) : std::min(answer[i], end);
    }
  }
}

namespace {

// Points over a support, closer where it is infinite near 0 and wider further out.
std::vector<double> ladder(Support support) {
  std::vector<double> x;
  const bool finite = std::isfinite(support.lower) && std::isfinite(support.upper);
  if (finite) {
    constexpr int rungs = 256;
    for (int i = 0; i <= rungs; ++i) {
      const double part = double(i) / rungs;
      x.push_back((1 - part) * support.lower + part * support.upper);
    }
  } else {
    const double from = std::isfinite(support.lower)   ? support.lower
                        : std::isfinite(support.upper) ? support.upper
                                                       : 0.0;
    x.push_back(from);
    for (int k = -40; k <= 200; ++k) {
      const double step = std::ldexp(1.0, k);
      if (!std::isfinite(support.upper)) x.push_back(from + step);
      if (!std::isfinite(support.lower)) x.push_back(from - step);
    }
    std::sort(x.begin(), x.end());
    x.erase(std::unique(x.begin(), x.end()), x.end());
  }
  return x;
}

}  // namespace

CdfInverse::CdfInverse(Cdf cdf, Support support) : cdf_(std::move(cdf)) {
  if (!(support.lower < support.upper)) {
    refuse("support must be increasing, got (" + text(support.lower) + ", " + text(support.upper) +
           ")");
  }
  x_ = ladder(support);
  p_.resize(x_.size());
  cdf_(x_, p_);
  for (std::size_t i = 0; i < x_.size(); ++i) {
    if (!(p_[i] >= -1e-9 && p_[i] <= 1 + 1e-9)) {
      refuse("cdf must lie in [0, 1], got " + text(p_[i]) + " at x = " + text(x_[i]));
    }
    if (i > 0 && p_[i] < p_[i - 1] - 1e-9) {
      refuse("cdf must not decrease, got " + text(p_[i - 1]) + " at x = " + text(x_[i - 1]) +
             " and " + text(p_[i]) + " at x = " + text(x_[i]));
    }
  }
  if (p_.front() > 1e-6) {
    refuse("cdf must reach 0 at the lower end of its support, got " + text(p_.front()) +
           " at x = " + text(x_.front()));
  }
  if (p_.back() < 1 - 1e-6) {
    refuse("cdf must reach 1 at the upper end of its support, got " + text(p_.back()) +
           " at x = " + text(x_.back()));
  }
  for (std::size_t i = 1; i < p_.size(); ++i) p_[i] = std::max(p_[i], p_[i - 1]);
}

void CdfInverse::operator()(std::span<const double> u, std::span<double> x) const {
  // a and b bracket the root (cdf(a) < u <= cdf(b)), c is the point before; t is where to look
  // next.
  struct Search {
    std::size_t home;
    double u, a, b, c, fa, fb, fc, t;
  };
  std::vector<Search> active;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const auto above =
        static_cast<std::size_t>(std::lower_bound(p_.begin(), p_.end(), u[i]) - p_.begin());
    if (above == 0 || above == p_.size() || p_[above] == u[i]) {
      x[i] = x_[std::min(above, x_.size() - 1)];
      if (above > 0 && above < p_.size()) {
        // A level that the ladder hits exactly may start earlier: the bracket ends there.
        active.push_back({i, u[i], x_[above - 1], x_[above], x_[above], p_[above - 1] - u[i],
                          p_[above] - u[i], p_[above] - u[i], 0.5});
      }
      continue;
    }
    active.push_back({i, u[i], x_[above - 1], x_[above], x_[above], p_[above - 1] - u[i],
                      p_[above] - u[i], p_[above] - u[i], 0.5});
  }
  std::vector<double> at, p;
  for (int iteration = 0; !active.empty() && iteration < 200; ++iteration) {
    at.resize(active.size());
    p.resize(active.size());
    for (std::size_t i = 0; i < active.size(); ++i) {
      const Search& s = active[i];
      const double inside = s.a + s.t * (s.b - s.a);
      at[i] = inside > s.a && inside < s.b ? inside : s.a + 0.5 * (s.b - s.a);
    }
    cdf_(at, p);
    std::size_t left = 0;
    for (std::size_t i = 0; i < active.size(); ++i) {
      Search s = active[i];
      const double f = p[i] - s.u;
      if (std::isnan(f)) refuse("cdf must be a number, got NaN at x = " + text(at[i]));
      if (f < 0) {
        s.c = s.a, s.fc = s.fa, s.a = at[i], s.fa = f;
      } else {
        s.c = s.b, s.fc = s.fb, s.b = at[i], s.fb = f;
      }
      x[s.home] = s.b;
      const double middle = s.a + 0.5 * (s.b - s.a);
      const double enough = 2 * std::numeric_limits<double>::epsilon() * std::min(s.u, 1 - s.u);
      if (!(middle > s.a && middle < s.b) || (f >= 0 && f <= enough && f > 0)) continue;
      // Inverse quadratic interpolation where it is safe, a bisection otherwise, from the newest
      // point.
      const bool from_a = f < 0;
      const double near = from_a ? s.a : s.b, far = from_a ? s.b : s.a;
      const double fn = from_a ? s.fa : s.fb, ff = from_a ? s.fb : s.fa;
      const double xi = (near - far) / (s.c - far), phi = (fn - ff) / (s.fc - ff);
      double part = 0.5;  // of the way from near to far
      if (fn != 0 && phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi) {
        part = fn / (ff - fn) * s.fc / (ff - s.fc) +
               (s.c - near) / (far - near) * fn / (s.fc - fn) * ff / (s.fc - ff);
      }
      // Not closer to an end than one ulp of the answer.
      const double least = 2e-16 * std::max(std::abs(s.a), std::abs(s.b)) / (s.b - s.a);
      part = std::clamp(part, std::min(least, 0.5), std::max(1 - least, 0.5));
      s.t = from_a ? part : 1 - part;
      active[left++] = s;
    }
    active.resize(left);
  }
}

void evaluate_rows(std::span<const AnyMarginal> laws, Curve curve, std::span<const double> in,
                   std::span<double> out, int threads) {
  if (laws.empty()) return;
  const std::size_t n = in.size() / laws.size();
  double cost = 0;
  bool foreign = false;
  for (const AnyMarginal& law : laws) {
    cost += law.cost_ns(curve) * double(n);
    foreign |= law.foreign(curve);
  }
  parallel_for(laws.size(), foreign ? 1 : threads_for(cost, threads), [&](std::size_t i) noexcept {
    laws[i].evaluate(curve, in.subspan(i * n, n), out.subspan(i * n, n));
  });
}

void TransportMap::operator()(std::span<const double> x, std::span<double> y) const {
  const std::size_t n = x.size();
  std::vector<double> lower(n), upper(n), high(n);
  source_.cdf(x, lower);
  source_.sf(x, upper);
  target_.ppf(lower, y);
  target_.isf(upper, high);
  for (std::size_t i = 0; i < n; ++i) {
    if (lower[i] > 0.5) y[i] = high[i];
  }
}

void TransportMap::derivative(std::span<const double> x, std::span<double> slope) const {
  const std::size_t n = x.size();
  std::vector<double> y(n), density(n);
  (*this)(x, y);
  source_.evaluate(Curve::logpdf, x, slope);
  target_.evaluate(Curve::logpdf, y, density);
  for (std::size_t i = 0; i < n; ++i) slope[i] = std::exp(slope[i] - density[i]);
}

}  // namespace recouple
