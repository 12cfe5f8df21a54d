#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.hpp"

namespace recouple {

// Bits of a double as an unsigned integer in the order of the numbers (-0 just before 0).
inline std::uint64_t ordered_bits(double x) noexcept {
  const auto bits = __builtin_bit_cast(std::uint64_t, x);
  const std::uint64_t sign = std::uint64_t{1} << 63;
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

// How a value and its position share the 61 bits of a key: the value's bits above `lowest`, without
// their last `shift`, then the position in `index_bits`.
struct KeyLayout {
  std::uint64_t lowest;
  int shift, index_bits;

  std::uint64_t head(double x) const noexcept { return (ordered_bits(x) - lowest) >> shift; }
};

// Keys are doubles in [2, 2^513): positive, normal, never NaN, so that any sort of doubles sorts
// them by their bits.
inline constexpr std::uint64_t key_base = std::uint64_t{1} << 62;

template <class T>
struct SortKernelsOf {
  bool (*has_nan)(const T* x, std::size_t n) noexcept;
  // Copy; true if a NaN was among the values.
  bool (*copy_has_nan)(const T* from, T* to, std::size_t n) noexcept;
  // Least and greatest ordered bits; n > 0.
  void (*range)(const T* x, std::size_t n, std::uint64_t& least, std::uint64_t& greatest) noexcept;
  void (*pack)(const T* x, std::size_t n, KeyLayout layout, double* keys) noexcept;
  // bucket[i] = number of the 63 increasing splitters that x[i] exceeds.
  void (*classify)(const T* x, std::size_t n, const T* splitters, std::uint8_t* bucket) noexcept;
};

struct SortKernels {
  SortKernelsOf<double> doubles;
  SortKernelsOf<float> floats;

  template <class T>
  const SortKernelsOf<T>& of() const noexcept {
    if constexpr (sizeof(T) == sizeof(double)) {
      return doubles;
    } else {
      return floats;
    }
  }

  template <Simd>
  static const SortKernels& at() noexcept;
};

}  // namespace recouple
