#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.hpp"

namespace recouple {

// Both halves of a quantile table, the lower tail's first, over w = P(X <= x) or P(X > x) in
// [2^-octaves, 1/2]. Cell c covers w from left[c]; there x is a polynomial of degree 6 in w - left,
// cells[8 c ... 8 c + 6], constant first, and cells[8 c + 7] is left[c] again. Keys are the leading
// bits of w: guide[key] is the cell c that holds the least w of that key, or ~c if others follow
// within the key. After the cells of each half comes one of left end infinity.
struct TableView {
  const double *left, *cells;
  const std::int32_t* guide;  // table_keys entries for each half
};

inline constexpr int table_octaves = 40;  // below 2^-40 the law itself is asked
inline constexpr int table_key_bits = 5;  // 2^5 keys per octave
inline constexpr std::int32_t table_keys = (table_octaves - 1) << table_key_bits;

struct QuantileKernels {
  // x at probabilities u of the lower tail, or the upper. Where min(u, 1 - u) < 2^-octaves the
  // caller replaces x; returns whether there is such a u.
  bool (*lookup)(const TableView& table, bool upper, const double* u, double* x,
                 std::size_t n) noexcept;

  template <Simd>
  static const QuantileKernels& at() noexcept;
};

}  // namespace recouple
