// Wasserstein distances on the line, between weighted samples.
//
//   W_p(mu, nu)^p = int_0^1 |F^-1(s) - G^-1(s)|^p ds,   W_inf = ess sup |F^-1 - G^-1|
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace recouple {

// Rows of samples: row r is the law with atoms values[r * size .. (r + 1) * size) and the weights
// of the same row, of the only row of weights, or equal weights where there are none. T: float,
// double.
template <class T>
struct Samples {
  std::span<const T> values;
  std::size_t size;
  std::span<const T> weights{};

  std::size_t rows() const noexcept { return size == 0 ? 0 : values.size() / size; }
};

struct WassersteinOptions {
  double p = 1;                // in [1, inf]
  bool power = false;          // W_p^p instead of W_p; p must be finite then
  bool assume_sorted = false;  // every row increases already
  int threads = 0;
};

// out[k] = distance between row u_rows[k] of u and row v_rows[k] of v, summed in double whatever T.
//
// Weights are normalised and zero weights ignored. Where both laws have mass at the same infinity
// the distance is undefined and comes out NaN; elsewhere an atom at infinity makes it infinite.
// Throws std::invalid_argument on NaN values, on weights that are negative, not finite or sum to
// zero, on p < 1, and on sizes that do not match.
//
// Extra memory: one copy of the inputs at most (none beside a few kilobytes if equal weights are
// assumed sorted). Cost: the sorts, then O(n + m).
void wasserstein_1d(const Samples<double>& u, const Samples<double>& v,
                    std::span<const std::size_t> u_rows, std::span<const std::size_t> v_rows,
                    const WassersteinOptions& options, std::span<double> out);
void wasserstein_1d(const Samples<float>& u, const Samples<float>& v,
                    std::span<const std::size_t> u_rows, std::span<const std::size_t> v_rows,
                    const WassersteinOptions& options, std::span<double> out);

// The plan that attains the distance for every p: entry e moves mass[e] from atom u_index[e] to
// atom v_index[e], both increasing along the line; masses sum to 1. Returns the number of entries,
// at most n + m - 1, which the spans must have room for. One row a side; conditions as above,
// values finite.
std::size_t wasserstein_1d_plan(const Samples<double>& u, const Samples<double>& v,
                                std::span<std::int64_t> u_index, std::span<std::int64_t> v_index,
                                std::span<double> mass);

// Gradients of the distance between row k of u and row k of v, laid out as the values. Missing
// weights stand for 1 / n. p is finite. Where the distance has a kink the gradient lies between the
// one-sided ones; where it is 0, so is the gradient.
struct WassersteinGradients {
  std::span<double> distance;  // one for each row
  std::span<double> u_values, v_values, u_weights, v_weights;
};
void wasserstein_1d_grad(const Samples<double>& u, const Samples<double>& v,
                         const WassersteinOptions& options, const WassersteinGradients& out);

namespace detail {
// Throws as wasserstein_1d does; `name` is "u" or "v".
void require_samples(const Samples<double>& side, const char* name);
}  // namespace detail

}  // namespace recouple
