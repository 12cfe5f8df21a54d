#include "recouple/theory.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "kernels/theory.hpp"
#include "recouple/parallel.hpp"

namespace recouple {

void ntk_gram(std::span<const double> z, std::size_t inputs, bool outputs, std::span<double> gram,
              int threads) {
  if (inputs == 0 || z.size() % inputs != 0) {
    throw std::invalid_argument("ntk_gram: z must hold rows of `inputs` numbers");
  }
  const std::size_t n = z.size() / inputs, tiles = (n + ntk_tile - 1) / ntk_tile;
  if (gram.size() != n * n) throw std::invalid_argument("ntk_gram: gram must be (n, n)");
  std::vector<double> rows(z.begin(), z.end()), norms(tiles * ntk_tile, 0.0);
  std::vector<double> across(tiles * ntk_tile * inputs, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    double* row = &rows[i * inputs];
    double largest = 0;
    for (std::size_t c = 0; c < inputs; ++c) {
      if (!std::isfinite(row[c])) throw std::invalid_argument("ntk_gram: z must be finite");
      largest = std::max(largest, std::abs(row[c]));
    }
    if (largest == 0) throw std::invalid_argument("ntk_gram: a row of z must not be zero");
    double square = 0;
    for (std::size_t c = 0; c < inputs; ++c) square += row[c] / largest * (row[c] / largest);
    norms[i] = largest * std::sqrt(square);
    for (std::size_t c = 0; c < inputs; ++c) {
      row[c] /= norms[i];
      across[(i / ntk_tile * inputs + c) * ntk_tile + i % ntk_tile] = row[c];
    }
  }
  const double ns = double(n) * double(n) / 2 * (2 + 0.3 * double(inputs));
  parallel_for(tiles, threads_for(ns, threads), [&](std::size_t a) noexcept {
    double tile[ntk_tile * ntk_tile];
    const std::size_t first = a * ntk_tile, height = std::min(ntk_tile, n - first);
    for (std::size_t b = a; b < tiles; ++b) {
      const std::size_t left = b * ntk_tile, width = std::min(ntk_tile, n - left);
      for (std::size_t i = 0; i < height; ++i) {
        kernels<TheoryKernels>().ntk_row(inputs, outputs, &rows[(first + i) * inputs],
                                         norms[first + i], &across[b * inputs * ntk_tile],
                                         &norms[left], tile + i * ntk_tile);
        std::copy_n(tile + i * ntk_tile, width, &gram[(first + i) * n + left]);
      }
      if (a == b) continue;
      for (std::size_t j = 0; j < width; ++j) {
        double* to = &gram[(left + j) * n + first];
        for (std::size_t i = 0; i < height; ++i) to[i] = tile[i * ntk_tile + j];
      }
    }
  });
}

}  // namespace recouple
