// Small dense products for kernel sources: C (n x m) = or += X (n x k) B (k x m), row-major, with
// the columns of B and C padded to multiples of 8.
//
// Included by files in kernels/ only, each compiled for its own instruction set: everything is in
// an anonymous namespace so that no two levels share a symbol.
#pragma once

#include <cstddef>

namespace recouple {
namespace {  // NOLINT: internal linkage is the point, see above

#if defined(__AVX512F__)
constexpr std::size_t vec_width = 8;
constexpr std::size_t tile_rows = 6,
                      tile_vectors = 4;  // 24 sums, 4 of B and a broadcast in 32 registers
#elif defined(__AVX2__)
constexpr std::size_t vec_width = 4;
constexpr std::size_t tile_rows = 6,
                      tile_vectors = 2;  // 12 sums, 2 of B and a broadcast in 16 registers
#else
constexpr std::size_t vec_width = 2;
constexpr std::size_t tile_rows = 4, tile_vectors = 2;
#endif
typedef double Vec __attribute__((vector_size(vec_width * sizeof(double))));

inline Vec load(const double* p) noexcept {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(double* p, Vec v) noexcept {
  __builtin_memcpy(p, &v, sizeof v);
}

typedef long long VecInt __attribute__((vector_size(vec_width * sizeof(double))));

inline double sum_of(Vec v) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < vec_width; ++i) sum += v[i];
  return sum;
}

// exp(x) for x <= 0, to 1 ulp; 0 below -708. As vec_exp, without its other cases.
[[maybe_unused]] inline Vec exp_of_negative(Vec x) noexcept {
  const Vec least = Vec{} - 708.0;
  const Vec c = x > least ? x : least;
  const Vec shifted = c * 1.4426950408889634074 + 6755399441055744.0;
  const Vec k = shifted - 6755399441055744.0;
  const Vec r = (c - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  Vec p = Vec{} + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  // The low bits of `shifted` are k: moved to the exponent they scale by 2^k.
  const Vec scale = (Vec)(((VecInt)shifted + 1023) << 52);
  return x > least ? p * scale : Vec{};
}

template <std::size_t n>
struct Count {
  static constexpr std::size_t value = n;
};

// Columns are padded to this many doubles at every level.
constexpr std::size_t column_padding = 8;

// Rows of X taken together beside so many vectors of B: what the registers hold.
constexpr std::size_t rows_beside(std::size_t vectors) noexcept {
#if defined(__AVX512F__)
  return vectors <= 2 ? 12 : (vectors == 3 ? 8 : 6);
#else
  return vectors == 1 ? 8 : tile_rows;
#endif
}

// Sums start from `start`, one row or (with ld_start = 0) the same for all; null for zero.
template <std::size_t rows, std::size_t vectors>
inline void product_tile(std::size_t k, const double* x, std::size_t ldx, const double* b,
                         std::size_t ldb, const double* start, std::size_t ld_start, double* c,
                         std::size_t ldc) noexcept {
  Vec sum[rows][vectors];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) {
      sum[r][v] = start != nullptr ? load(start + r * ld_start + v * vec_width) : Vec{};
    }
  }
  for (std::size_t i = 0; i < k; ++i) {
    Vec row[vectors];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) row[v] = load(b + i * ldb + v * vec_width);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < rows; ++r) {
      const double factor = x[r * ldx + i];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < vectors; ++v) sum[r][v] += factor * row[v];
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) store(c + r * ldc + v * vec_width, sum[r][v]);
  }
}

template <std::size_t vectors>
inline void product_columns(std::size_t n, std::size_t k, const double* x, std::size_t ldx,
                            const double* b, std::size_t ldb, const double* start,
                            std::size_t ld_start, double* c, std::size_t ldc) noexcept {
  constexpr std::size_t rows = rows_beside(vectors);
  std::size_t i = 0;
  for (; i + rows <= n; i += rows) {
    product_tile<rows, vectors>(k, x + i * ldx, ldx, b, ldb, start, ld_start, c + i * ldc, ldc);
    if (start != nullptr) start += rows * ld_start;
  }
  for (; i < n; ++i) {
    product_tile<1, vectors>(k, x + i * ldx, ldx, b, ldb, start, ld_start, c + i * ldc, ldc);
    if (start != nullptr) start += ld_start;
  }
}

// C = start + X B; `columns` is a multiple of column_padding.
[[maybe_unused]] inline void product(std::size_t n, std::size_t k, std::size_t columns,
                                     const double* x, std::size_t ldx, const double* b,
                                     std::size_t ldb, const double* start, std::size_t ld_start,
                                     double* c, std::size_t ldc) noexcept {
  std::size_t j = 0;
  const auto go = [&](auto count) noexcept {
    product_columns<decltype(count)::value>(
        n, k, x, ldx, b + j, ldb, start != nullptr ? start + j : nullptr, ld_start, c + j, ldc);
    j += decltype(count)::value * vec_width;
  };
  while (j + tile_vectors * vec_width <= columns) go(Count<tile_vectors>{});
  if (tile_vectors > 3 && j + 3 * vec_width <= columns) go(Count<3>{});
  if (tile_vectors > 2 && j + 2 * vec_width <= columns) go(Count<2>{});
  if (j + vec_width <= columns) go(Count<1>{});
}

}  // namespace
}  // namespace recouple
