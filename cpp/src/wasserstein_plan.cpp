// The monotone plan between two laws on the line, entry by entry, and what follows from it: the
// gradients of the distance with respect to atoms and weights.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "buffer.hpp"
#include "levels.hpp"
#include "recouple/parallel.hpp"
#include "recouple/sort.hpp"
#include "recouple/wasserstein.hpp"

namespace recouple {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// One law in order along the line: atoms, where they came from, weights and cumulative weights.
struct Line {
  explicit Line(std::size_t n) : size(n), x(n), order(n), weight(n), level(n) {}

  std::size_t size;
  Buffer<double> x;
  Buffer<std::int64_t> order;
  Buffer<double> weight, level;
};

void put_in_order(const Samples<double>& side, std::size_t row, bool assume_sorted, int threads,
                  Line& line) {
  const std::size_t n = side.size;
  const auto values = side.values.subspan(row * n, n);
  const auto x = line.x.part(0, n);
  const auto order = line.order.part(0, n);
  if (assume_sorted) {
    std::copy(values.begin(), values.end(), x.begin());
    std::iota(order.begin(), order.end(), 0);
  } else {
    static_cast<void>(sort_with_order(values, x, order, threads));  // NaN was refused before
  }
}

// Weights in units of their sum.
void weigh(const Samples<double>& side, std::size_t row, Line& line) {
  const std::size_t n = side.size;
  if (side.weights.empty()) {
    std::fill_n(line.weight.data(), n, 1.0);
  } else {
    const auto weights = side.weights.subspan(side.weights.size() == n ? 0 : row * n, n);
    for (std::size_t k = 0; k < n; ++k) {
      line.weight[k] = weights[static_cast<std::size_t>(line.order[k])];
    }
  }
  std::copy_n(line.weight.data(), n, line.level.data());
  cumulate(line.level.data(), n);
  const double total = std::accumulate(line.weight.data(), line.weight.data() + n, 0.0);
  for (std::size_t k = 0; k < n; ++k) line.weight[k] /= total;
}

// Equal weights against equal weights, in units of 1 / (n m): levels and masses are whole numbers.
void count(Line& line, std::size_t other) {
  for (std::size_t k = 0; k < line.size; ++k) {
    line.weight[k] = double(other);
    line.level[k] = double((k + 1) * other);
  }
}

// Two laws side by side, made ready row after row.
class Pair {
 public:
  Pair(const Samples<double>& u, const Samples<double>& v)
      : u_(u),
        v_(v),
        counted_(u.weights.empty() && v.weights.empty() &&
                 double(u.size) * double(v.size) < 0x1p53),
        unit_(counted_ ? double(u.size) * double(v.size) : 1),
        left(u.size),
        right(v.size) {}

  void prepare(std::size_t row, bool assume_sorted, int threads) {
    put_in_order(u_, row, assume_sorted, threads, left);
    put_in_order(v_, row, assume_sorted, threads, right);
    if (counted_) {
      count(left, right.size);
      count(right, left.size);
    } else {
      weigh(u_, row, left);
      weigh(v_, row, right);
    }
  }

  // visit(i, j, mass, on_left, on_right) for each pair of the plan, in order: the mass, and which
  // sides move on to the next pair (both where their levels agree). An atom without weight is
  // visited too, with mass 0. Paths follow the levels, which do not drift; masses are what is left
  // of the atom that ends, so that an atom's masses add up to its weight.
  template <class Visit>
  void walk(Visit visit) {
    const double tolerance = counted_ ? 0 : level_tolerance;
    const std::size_t n = left.size, m = right.size;
    std::size_t i = 0, j = 0;
    double rest_left = left.weight[0], rest_right = right.weight[0];
    while (true) {
      const double a = left.level[i], b = right.level[j];
      const double moved = std::max(0.0, a <= b + tolerance ? rest_left : rest_right);
      const bool last_left = i + 1 == n, last_right = j + 1 == m;
      const bool on_left = !last_left && (a <= b + tolerance || last_right);
      const bool on_right = !last_right && (b <= a + tolerance || last_left);
      visit(i, j, moved / unit_, on_left, on_right);
      if (last_left && last_right) return;
      rest_left = on_left ? left.weight[++i] : rest_left - moved;
      rest_right = on_right ? right.weight[++j] : rest_right - moved;
    }
  }

  bool counted() const noexcept { return counted_; }

 private:
  const Samples<double>&u_, &v_;
  bool counted_;
  double unit_;  // of weights, whose sums over both sides agree

 public:
  Line left, right;
};

double cost(double r, double p) noexcept {
  return p == 1 ? r : p == 2 ? r * r : std::pow(r, p);
}

// Gradients for one row. With r = |x - y| / scale, c = r^p and S = sum of mass c, the distance is
// W = scale S^(1/p), and its derivatives are sums of mass r^(p-1) and the potentials f + g = c.
void gradients(Pair& pair, std::size_t row, const Samples<double>& u, const Samples<double>& v,
               const WassersteinOptions& options, Line& f, Line& g,
               const WassersteinGradients& out) {
  const double p = options.p;
  const std::size_t n = u.size, m = v.size;
  double scale = 0;
  pair.walk([&](std::size_t i, std::size_t j, double mass, bool, bool) {
    if (mass > 0) scale = std::max(scale, std::abs(pair.left.x[i] - pair.right.x[j]));
  });
  const auto clear = [row](std::span<double> all, std::size_t size) {
    std::fill_n(all.begin() + static_cast<std::ptrdiff_t>(row * size), size, 0.0);
  };
  clear(out.u_values, n);
  clear(out.v_values, m);
  clear(out.u_weights, n);
  clear(out.v_weights, m);
  out.distance[row] = 0;
  if (scale == 0) return;

  // Sums of mass r^(p-1) in f.x and g.x, potentials in f.level and g.level.
  std::fill_n(f.x.data(), n, 0.0);
  std::fill_n(g.x.data(), m, 0.0);
  f.level[0] = 0;
  double sum = 0;
  const auto c = [&](std::size_t i, std::size_t j) {
    return cost(std::abs(pair.left.x[i] - pair.right.x[j]) / scale, p);
  };
  g.level[0] = c(0, 0);
  pair.walk([&](std::size_t i, std::size_t j, double mass, bool on_left, bool on_right) {
    const double d = pair.left.x[i] - pair.right.x[j], r = std::abs(d) / scale;
    if (mass > 0 && d != 0) {
      sum += mass * cost(r, p);
      const double slope = std::copysign(mass * (p == 1 ? 1 : p == 2 ? r : std::pow(r, p - 1)), d);
      f.x[i] += slope;
      g.x[j] -= slope;
    }
    // Where both move, either could move first; the potentials in between lie between the two.
    const double up = on_left ? c(i + 1, j) - g.level[j] : 0;
    const double across = on_right ? c(i, j + 1) - f.level[i] : 0;
    if (on_left && on_right) {
      f.level[i + 1] = 0.5 * (up + (c(i + 1, j + 1) - across));
      g.level[j + 1] = c(i + 1, j + 1) - f.level[i + 1];
    } else if (on_left) {
      f.level[i + 1] = up;
    } else if (on_right) {
      g.level[j + 1] = across;
    }
  });

  const double root = std::pow(sum, 1 / p), slack = std::pow(sum, (p - 1) / p);
  out.distance[row] = options.power ? sum * std::pow(scale, p) : scale * root;
  const double by_value = options.power ? p * std::pow(scale, p - 1) : 1 / slack;
  const double by_weight = options.power ? std::pow(scale, p) : scale / (p * slack);
  const auto store = [&](const Samples<double>& side, Line& line, Line& found,
                         std::span<double> values, std::span<double> weights) {
    const std::size_t size = side.size;
    const double weight_unit = pair.counted() ? 1 / double(size) / line.weight[0] : 1;
    double mean = 0, total = 1;
    for (std::size_t k = 0; k < size; ++k) mean += line.weight[k] * weight_unit * found.level[k];
    if (!side.weights.empty()) {
      const auto given = side.weights.subspan(side.weights.size() == size ? 0 : row * size, size);
      total = std::accumulate(given.begin(), given.end(), 0.0);
    }
    for (std::size_t k = 0; k < size; ++k) {
      const std::size_t to = row * size + static_cast<std::size_t>(line.order[k]);
      values[to] = by_value * found.x[k];
      weights[to] = by_weight * (found.level[k] - mean) / total;
    }
  };
  store(u, pair.left, f, out.u_values, out.u_weights);
  store(v, pair.right, g, out.v_values, out.v_weights);
}

}  // namespace

std::size_t wasserstein_1d_plan(const Samples<double>& u, const Samples<double>& v,
                                std::span<std::int64_t> u_index, std::span<std::int64_t> v_index,
                                std::span<double> mass) {
  detail::require_samples(u, "u");
  detail::require_samples(v, "v");
  require(u.rows() == 1 && v.rows() == 1, "a plan needs one row a side");
  const std::size_t most = u.size + v.size - 1;
  require(u_index.size() >= most && v_index.size() >= most && mass.size() >= most,
          "there must be room for n + m - 1 entries");
  Pair pair(u, v);
  pair.prepare(0, false, 0);
  std::size_t entries = 0;
  pair.walk([&](std::size_t i, std::size_t j, double moved, bool, bool) {
    if (!(moved > 0)) return;
    u_index[entries] = pair.left.order[i];
    v_index[entries] = pair.right.order[j];
    mass[entries++] = moved;
  });
  return entries;
}

void wasserstein_1d_grad(const Samples<double>& u, const Samples<double>& v,
                         const WassersteinOptions& options, const WassersteinGradients& out) {
  require(options.p >= 1 && options.p < std::numeric_limits<double>::infinity(),
          "p must be at least 1 and finite, got " + std::to_string(options.p));
  detail::require_samples(u, "u");
  detail::require_samples(v, "v");
  const std::size_t rows = u.rows();
  require(v.rows() == rows && out.distance.size() == rows, "u and v must have as many rows");
  require(out.u_values.size() == u.values.size() && out.u_weights.size() == u.values.size() &&
              out.v_values.size() == v.values.size() && out.v_weights.size() == v.values.size(),
          "gradients must have the sizes of the values");
  const int threads = threads_for(double(rows) * double(u.size + v.size) * 60, options.threads);
  const std::size_t tasks = std::min<std::size_t>(rows, 64);
  parallel_for(tasks, threads, [&](std::size_t task) noexcept {
    Pair pair(u, v);
    Line f(u.size), g(v.size);
    const std::size_t end = (task + 1) * rows / tasks;
    for (std::size_t row = task * rows / tasks; row < end; ++row) {
      pair.prepare(row, options.assume_sorted, tasks == 1 ? threads : 1);
      gradients(pair, row, u, v, options, f, g, out);
    }
  });
}

}  // namespace recouple
