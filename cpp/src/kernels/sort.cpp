#include "kernels/sort.hpp"

namespace recouple {
namespace {

// Same as ordered_bits, in a form that vectorises; kept here so that no two levels share a symbol.
inline std::uint64_t order_of(double x) noexcept {
  const auto bits = __builtin_bit_cast(std::uint64_t, x);
  const std::uint64_t negative = 0 - (bits >> 63);
  return bits ^ (negative | (std::uint64_t{1} << 63));
}

template <bool first, class A, class B>
struct PickOf {
  using Type = A;
};
template <class A, class B>
struct PickOf<false, A, B> {
  using Type = B;
};
template <bool first, class A, class B>
using Pick = typename PickOf<first, A, B>::Type;

template <class T>
bool has_nan(const T* x, std::size_t n) noexcept {
  constexpr std::size_t block = 1024;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t end = n - first < block ? n : first + block;
    int bad = 0;
    for (std::size_t i = first; i < end; ++i) bad |= x[i] != x[i];
    if (bad != 0) return true;
  }
  return false;
}

template <class T>
bool copy_has_nan(const T* from, T* to, std::size_t n) noexcept {
  int bad = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const T value = from[i];
    to[i] = value;
    bad |= value != value;
  }
  return bad != 0;
}

template <class T>
void range(const T* x, std::size_t n, std::uint64_t& least, std::uint64_t& greatest) noexcept {
  std::uint64_t low = ~std::uint64_t{0}, high = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t bits = order_of(static_cast<double>(x[i]));
    low = bits < low ? bits : low;
    high = bits > high ? bits : high;
  }
  least = low;
  greatest = high;
}

template <class T>
void pack(const T* x, std::size_t n, KeyLayout layout, double* keys) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t head =
        (order_of(static_cast<double>(x[i])) - layout.lowest) >> layout.shift;
    keys[i] = __builtin_bit_cast(double, key_base | head << layout.index_bits | i);
  }
}

// Binary search in step: one level after the other for a block of values, so that it vectorises.
template <class T>
void classify(const T* x, std::size_t n, const T* splitters, std::uint8_t* bucket) noexcept {
  using Index = Pick<sizeof(T) == 8, std::int64_t, std::int32_t>;
  constexpr std::size_t block = 64;
  Index at[block];
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t count = n - first < block ? n - first : block;
    for (std::size_t i = 0; i < block; ++i) at[i] = 0;
    for (Index half = 32; half > 0; half /= 2) {
      for (std::size_t i = 0; i < count; ++i) {
        const Index up = x[first + i] > splitters[at[i] + half - 1] ? half : 0;
        at[i] += up;
      }
    }
    for (std::size_t i = 0; i < count; ++i) bucket[first + i] = static_cast<std::uint8_t>(at[i]);
  }
}

template <class T>
constexpr SortKernelsOf<T> table_of{&has_nan<T>, &copy_has_nan<T>, &range<T>, &pack<T>,
                                    &classify<T>};

}  // namespace

template <>
const SortKernels& SortKernels::at<level_of_this_file>() noexcept {
  static constexpr SortKernels table{table_of<double>, table_of<float>};
  return table;
}

}  // namespace recouple
