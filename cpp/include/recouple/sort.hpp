// Sorting on the line, and sorting that carries something along.
//
// Everything rests on one function that sorts numbers in place. The library's own serves pure C++
// programs; a host that has a faster one (NumPy's, with AVX-512) lends it by set_sort.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace recouple {

// Sort n numbers in place, increasing; they hold no NaN. Called from several threads at once.
template <class T>
using SortFunction = void (*)(T* values, std::size_t n) noexcept;

struct SortFunctions {
  const char* name;
  SortFunction<double> doubles;
  SortFunction<float> floats;
};

// The library's own: Highway's vqsort where the build found it, a radix sort otherwise.
SortFunctions own_sort() noexcept;

// Lend a sort to the whole library; not while any of it runs.
void set_sort(SortFunctions functions) noexcept;
SortFunctions current_sort() noexcept;

// Sorted copy. `out` has the size of `in` and does not overlap it. False, and `out` means nothing,
// if there is a NaN. One thread needs no memory beyond `out`, several a byte a value.
[[nodiscard]] bool sort(std::span<const double> in, std::span<double> out, int threads = 0);
[[nodiscard]] bool sort(std::span<const float> in, std::span<float> out, int threads = 0);

// The values sorted, and their weights in the same order (as doubles). Equal values keep the order
// they came in; -0.0 goes before 0.0. False if there is a NaN. Throws std::invalid_argument on a
// size mismatch or 2^32 values or more.
[[nodiscard]] bool sort_with_weights(std::span<const double> values,
                                     std::span<const double> weights,
                                     std::span<double> sorted_values,
                                     std::span<double> sorted_weights, int threads = 0);
[[nodiscard]] bool sort_with_weights(std::span<const float> values, std::span<const float> weights,
                                     std::span<float> sorted_values,
                                     std::span<double> sorted_weights, int threads = 0);

// The values sorted, and the position each came from.
[[nodiscard]] bool sort_with_order(std::span<const double> values, std::span<double> sorted_values,
                                   std::span<std::int64_t> order, int threads = 0);

}  // namespace recouple
