#include "recouple/wasserstein.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "kernels/sort.hpp"
#include "kernels/wasserstein.hpp"
#include "levels.hpp"
#include "recouple/parallel.hpp"
#include "recouple/sort.hpp"

namespace recouple {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// One law ready for merging: increasing atoms, and the cumulative weights (null: equal weights).
// Weights end in 1 with +inf behind it, and the last atom is repeated behind them.
template <class T>
struct Row {
  const T* x;
  const double* cumulative;
  std::size_t n;
};

// Room for some rows of one side, each made ready in its slot.
template <class T>
class Slots {
 public:
  Slots(const Samples<T>& side, bool weighted, bool assume_sorted, std::size_t slots)
      : side_(side), weighted_(weighted), assume_sorted_(assume_sorted) {
    if (weighted || !assume_sorted) x_ = Buffer<T>(slots * (side.size + 1));
    if (weighted) w_ = Buffer<double>(slots * (side.size + 1));
  }

  // A row without atoms stands for one with a NaN.
  Row<T> prepare(std::size_t row, std::size_t slot, int threads) noexcept {
    const Row<T> ready = put_in_order(row, slot, threads);
    if (ready.n == 0) has_nan_ = true;
    return ready;
  }
  bool has_nan() const noexcept { return has_nan_; }

 private:
  Row<T> put_in_order(std::size_t row, std::size_t slot, int threads) noexcept {
    const std::size_t n = side_.size;
    const auto values = side_.values.subspan(row * n, n);
    const auto& kernel = kernels<SortKernels>().of<T>();
    if (!weighted_ && assume_sorted_) {
      return {values.data(), nullptr, kernel.has_nan(values.data(), n) ? 0 : n};
    }
    const std::span<T> x = x_.part(slot * (n + 1), n);
    if (!weighted_) return {x.data(), nullptr, sort(values, x, threads) ? n : 0};
    const std::span<double> w = w_.part(slot * (n + 1), n);
    const auto weights = side_.weights.subspan(side_.weights.size() <= n ? 0 : row * n,
                                               side_.weights.empty() ? 0 : n);
    bool good = false;
    if (assume_sorted_) {
      good = !kernel.copy_has_nan(values.data(), x.data(), n);
      std::copy(weights.begin(), weights.end(), w.begin());
    } else {
      good = weights.empty() ? sort(values, x, threads)
                             : sort_with_weights(values, weights, x, w, threads);
    }
    if (!good) return {nullptr, nullptr, 0};
    if (weights.empty()) std::fill(w.begin(), w.end(), 1.0);
    double least = 0, sum = 0;
    kernels<WassersteinKernels>().doubles.weigh(w.data(), n, least, sum);
    std::size_t kept = least > 0 ? n : 0;
    for (std::size_t k = kept; k < n; ++k) {
      x[kept] = x[k];
      w[kept] = w[k];
      kept += w[k] > 0;
    }
    x.data()[kept] = x[kept - 1];
    cumulate(w.data(), kept);
    w.data()[kept] = infinity;
    return {x.data(), w.data(), kept};
  }

  Samples<T> side_;
  bool weighted_, assume_sorted_;
  Buffer<T> x_;
  Buffer<double> w_;
  std::atomic<bool> has_nan_{false};
};

// Number of left levels among the first k of a merge of n and m, ties to the left.
template <class Left, class Right>
std::size_t merge_path(std::size_t k, std::size_t n, std::size_t m, Left left,
                       Right right) noexcept {
  std::size_t low = k > m ? k - m : 0, high = std::min(k, n);
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (left(middle) <= right(k - 1 - middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Sum (or greatest) over the pairs of two rows, added up in blocks that the size alone determines.
template <class T>
double merge_sum(const Row<T>& u, const Row<T>& v, Power power, int threads) noexcept {
  const auto& kernel = kernels<WassersteinKernels>().of<T>();
  const bool weighted = u.cumulative != nullptr, pairwise = !weighted && u.n == v.n;
  const std::size_t steps = pairwise ? u.n : u.n + v.n - 1;
  constexpr std::size_t most_blocks = 256, least_block = 8192;
  const std::size_t block = std::max(least_block, (steps + most_blocks - 1) / most_blocks);
  const std::size_t blocks = (steps + block - 1) / block;
  const auto start = [&](std::size_t k) noexcept {
    return weighted ? merge_path(
                          k, u.n, v.n, [&](std::size_t i) noexcept { return u.cumulative[i]; },
                          [&](std::size_t j) noexcept { return v.cumulative[j]; })
                    : merge_path(
                          k, u.n, v.n, [&](std::size_t i) noexcept { return (i + 1) * v.n; },
                          [&](std::size_t j) noexcept { return (j + 1) * u.n; });
  };
  const auto merge = [&](std::size_t k, std::size_t count) noexcept {
    MergeStarts starts;
    for (std::size_t l = 0; l < merge_lanes; ++l) {
      starts.i[l] = start(k);
      starts.j[l] = k - starts.i[l];
      k += steps_of_lane(l, count);
    }
    return weighted ? kernel.weighted(u.x, u.cumulative, v.x, v.cumulative, starts, count,
                                      level_tolerance, power)
                    : kernel.uniform(u.x, u.n, v.x, v.n, starts, count, power);
  };
  std::array<double, most_blocks> part;
  const auto add_block = [&](std::size_t b) noexcept {
    const std::size_t k = b * block, count = std::min(block, steps - k);
    part[b] = pairwise ? kernel.equal(u.x + k, v.x + k, count, power) : merge(k, count);
  };
  parallel_for(blocks, threads_for(double(steps) * (pairwise ? 0.5 : 2), threads), add_block);
  if (power.kind == Power::greatest) return *std::max_element(part.begin(), part.begin() + blocks);
  double sum = 0;
  for (std::size_t b = 0; b < blocks; ++b) sum += part[b];
  if (weighted) return sum;
  return pairwise ? sum / double(u.n) : sum / double(u.n) / double(v.n);
}

// W_inf of weighted rows. Levels that agree within the rounding of the weights are passed together,
// lest a sliver of mass couple atoms that are not neighbours; every atom still meets at least one.
template <class T>
double greatest_weighted(const Row<T>& u, const Row<T>& v) noexcept {
  double most = 0;
  std::size_t i = 0, j = 0;
  while (true) {
    most = std::max(most, std::abs(double(u.x[i]) - double(v.x[j])));
    const bool last_u = i + 1 == u.n, last_v = j + 1 == v.n;
    if (last_u && last_v) return most;
    const double a = u.cumulative[i], b = v.cumulative[j];
    i += !last_u && (last_v || a <= b + level_tolerance);
    j += !last_v && (last_u || b <= a + level_tolerance);
  }
}

template <class T>
double distance(const Row<T>& u, const Row<T>& v, const WassersteinOptions& options) noexcept {
  const auto at_both_ends = [](const Row<T>& row, auto f) { return f(row.x[0], row.x[row.n - 1]); };
  const auto is_infinite = [](T a, T b) { return std::isinf(a) || std::isinf(b); };
  if (at_both_ends(u, is_infinite) || at_both_ends(v, is_infinite)) {
    const bool below = std::isinf(u.x[0]) && u.x[0] < 0 && u.x[0] == v.x[0];
    const T top = u.x[u.n - 1];
    const bool above = std::isinf(top) && top > 0 && top == v.x[v.n - 1];
    return below || above ? std::numeric_limits<double>::quiet_NaN() : infinity;
  }
  const double p = options.p;
  const int threads = options.threads;
  const auto greatest = [&] { return merge_sum(u, v, {Power::greatest, 0, 1}, threads); };
  if (p == infinity) return u.cumulative != nullptr ? greatest_weighted(u, v) : greatest();
  if (p == 1) return merge_sum(u, v, {Power::one, 1, 1}, threads);
  if (p == 2) {
    const double sum = merge_sum(u, v, {Power::two, 2, 1}, threads);
    if (sum > 1e-280 && sum < 1e280) return options.power ? sum : std::sqrt(sum);
  }
  // Relative to the greatest difference, no power overflows or loses all.
  const double scale = greatest();
  if (scale == 0) return 0;
  const bool whole = p == std::floor(p) && p <= 64;
  const double sum = merge_sum(u, v, {whole ? Power::whole : Power::any, p, scale}, threads);
  return options.power ? sum * std::pow(scale, p) : scale * std::pow(sum, 1 / p);
}

template <class T>
void require_samples(const Samples<T>& side, const char* name) {
  const std::string values = std::string(name) + "_values",
                    weights = std::string(name) + "_weights";
  const std::size_t n = side.size;
  require(n > 0, values + " must not be empty");
  require(n < std::size_t{1} << 32,
          values + " must have fewer than 2^32 atoms, got " + std::to_string(n));
  require(side.values.size() % n == 0, values + " must hold whole rows");
  if (side.weights.empty()) return;
  require(side.weights.size() == n || side.weights.size() == side.values.size(),
          weights + " must have one weight per value");
  for (std::size_t row = 0; row < side.weights.size(); row += n) {
    double least = 0, sum = 0;
    kernels<WassersteinKernels>().of<T>().weigh(&side.weights[row], n, least, sum);
    require(least >= 0, weights + " must not be negative, got " + std::to_string(least));
    require(sum > 0 && sum < infinity,
            weights + " must be finite with a positive, finite sum, got the sum " +
                std::to_string(sum));
  }
}

template <class T>
void distances(const Samples<T>& u, const Samples<T>& v, std::span<const std::size_t> u_rows,
               std::span<const std::size_t> v_rows, const WassersteinOptions& options,
               std::span<double> out) {
  require(options.p >= 1, "p must be at least 1, got " + std::to_string(options.p));
  require(!(options.power && options.p == infinity), "power must be False for p = inf");
  const std::size_t pairs = out.size();
  require(u_rows.size() == pairs && v_rows.size() == pairs, "rows must be named for every result");
  if (pairs == 0) return;
  require_samples(u, "u");
  require_samples(v, "v");
  for (std::size_t k = 0; k < pairs; ++k) {
    require(u_rows[k] < u.rows() && v_rows[k] < v.rows(), "rows must be within range");
  }

  const bool weighted = !u.weights.empty() || !v.weights.empty();
  const double row_cost = double(u.size + v.size) * (weighted ? 30 : 8);
  const int threads = threads_for(double(pairs) * row_cost, options.threads);

  // A row that several pairs use is made ready once, beforehand; any other where it is used.
  const std::size_t tasks = std::min<std::size_t>(pairs, 64);
  const bool share_u = u.rows() < pairs, share_v = v.rows() < pairs;
  Slots<T> u_slots(u, weighted, options.assume_sorted, share_u ? u.rows() : tasks);
  Slots<T> v_slots(v, weighted, options.assume_sorted, share_v ? v.rows() : tasks);
  std::vector<Row<T>> u_ready(share_u ? u.rows() : 0), v_ready(share_v ? v.rows() : 0);
  const auto prepare_all = [&](Slots<T>& slots, std::vector<Row<T>>& ready) {
    const int inner = ready.size() == 1 ? threads : 1;
    parallel_for(ready.size(), threads,
                 [&](std::size_t r) noexcept { ready[r] = slots.prepare(r, r, inner); });
  };
  prepare_all(u_slots, u_ready);
  prepare_all(v_slots, v_ready);

  // Threads share out the problems if there are several. Two threads with one problem do best with
  // a side each; more, or sides of different size, with one side at a time.
  const int inner = tasks == 1 ? threads : 1;
  const bool side_by_side = inner == 2 && 3 * std::min(u.size, v.size) > std::max(u.size, v.size);
  WassersteinOptions each = options;
  each.threads = inner;
  parallel_for(tasks, threads, [&](std::size_t task) noexcept {
    const std::size_t end = (task + 1) * pairs / tasks;
    for (std::size_t k = task * pairs / tasks; k < end; ++k) {
      Row<T> rows[2];
      parallel_for(2, side_by_side ? 2 : 1, [&](std::size_t side) noexcept {
        const int rest = side_by_side ? 1 : inner;
        if (side == 0) {
          rows[0] = share_u ? u_ready[u_rows[k]] : u_slots.prepare(u_rows[k], task, rest);
        } else {
          rows[1] = share_v ? v_ready[v_rows[k]] : v_slots.prepare(v_rows[k], task, rest);
        }
      });
      out[k] = rows[0].n > 0 && rows[1].n > 0 ? distance(rows[0], rows[1], each) : 0;
    }
  });
  // Looking for NaN while copying saves a pass over the values; what came of it is thrown away.
  require(!u_slots.has_nan(), "u_values must not hold NaN");
  require(!v_slots.has_nan(), "v_values must not hold NaN");
}

}  // namespace

void detail::require_samples(const Samples<double>& side, const char* name) {
  recouple::require_samples<double>(side, name);
  require(!kernels<SortKernels>().doubles.has_nan(side.values.data(), side.values.size()),
          std::string(name) + "_values must not hold NaN");
}

void wasserstein_1d(const Samples<double>& u, const Samples<double>& v,
                    std::span<const std::size_t> u_rows, std::span<const std::size_t> v_rows,
                    const WassersteinOptions& options, std::span<double> out) {
  distances(u, v, u_rows, v_rows, options, out);
}

void wasserstein_1d(const Samples<float>& u, const Samples<float>& v,
                    std::span<const std::size_t> u_rows, std::span<const std::size_t> v_rows,
                    const WassersteinOptions& options, std::span<double> out) {
  distances(u, v, u_rows, v_rows, options, out);
}

}  // namespace recouple
