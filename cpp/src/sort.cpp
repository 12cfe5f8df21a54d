#include "recouple/sort.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/sort.hpp"
#include "recouple/parallel.hpp"

namespace recouple {
namespace {

// Least-significant-digit radix sort, 11 bits at a time, skipping digits that are all equal.
template <class T, class Bits>
void radix_sort(T* values, std::size_t n) noexcept {
  constexpr std::size_t width = 11, bits = sizeof(Bits) * 8, digits = (bits + width - 1) / width;
  constexpr std::size_t size = std::size_t{1} << width;
  std::unique_ptr<Bits[]> space;
  if (n > 512) space.reset(new (std::nothrow) Bits[2 * n]);
  if (!space) return std::sort(values, values + n);
  std::array<std::array<std::size_t, size>, digits> count{};
  constexpr Bits sign = Bits{1} << (bits - 1);
  Bits *from = space.get(), *to = from + n;
  for (std::size_t i = 0; i < n; ++i) {
    const Bits raw = std::bit_cast<Bits>(values[i]);
    const Bits key = (raw & sign) != 0 ? static_cast<Bits>(~raw) : static_cast<Bits>(raw | sign);
    from[i] = key;
    for (std::size_t d = 0; d < digits; ++d) ++count[d][(key >> (width * d)) & (size - 1)];
  }
  for (std::size_t d = 0; d < digits; ++d) {
    auto& c = count[d];
    if (c[(from[0] >> (width * d)) & (size - 1)] == n) continue;
    std::size_t start = 0;
    for (std::size_t& entry : c) start += std::exchange(entry, start);
    for (std::size_t i = 0; i < n; ++i) {
      to[c[(from[i] >> (width * d)) & (size - 1)]++] = from[i];
    }
    std::swap(from, to);
  }
  for (std::size_t i = 0; i < n; ++i) {
    const Bits key = from[i];
    values[i] = std::bit_cast<T>((key & sign) != 0 ? static_cast<Bits>(key ^ sign)
                                                   : static_cast<Bits>(~key));
  }
}

void radix_doubles(double* values, std::size_t n) noexcept {
  radix_sort<double, std::uint64_t>(values, n);
}
void radix_floats(float* values, std::size_t n) noexcept {
  radix_sort<float, std::uint32_t>(values, n);
}

SortFunctions lent{"", nullptr, nullptr};

template <class T>
SortFunction<T> chosen() noexcept {
  const SortFunctions now = current_sort();
  if constexpr (sizeof(T) == sizeof(double)) {
    return now.doubles;
  } else {
    return now.floats;
  }
}

template <class T>
void sort_copy(std::span<const T> in, std::span<T> out, int) {
  if (in.size() != out.size()) throw std::invalid_argument("out must have the size of in");
  std::copy(in.begin(), in.end(), out.begin());
  chosen<T>()(out.data(), out.size());
}

// What travels with a value: what to store for the element that came from position i.
template <class T>
struct Weights {
  const T* weights;
  double operator()(std::size_t i) const noexcept { return static_cast<double>(weights[i]); }
};
struct Positions {
  double operator()(std::size_t i) const noexcept {
    return std::bit_cast<double>(static_cast<std::int64_t>(i));
  }
};

// Values that agree in the head of their keys are still in the order they came in. Sort such a run
// of pairs stably by the full value.
template <class T>
void sort_run(T* x, double* carried, std::size_t n) {
  if (n <= 32) {
    for (std::size_t k = 1; k < n; ++k) {
      const T value = x[k];
      const double load = carried[k];
      const std::uint64_t bits = ordered_bits(static_cast<double>(value));
      std::size_t i = k;
      for (; i > 0 && ordered_bits(static_cast<double>(x[i - 1])) > bits; --i) {
        x[i] = x[i - 1];
        carried[i] = carried[i - 1];
      }
      x[i] = value;
      carried[i] = load;
    }
    return;
  }
  std::vector<std::pair<T, double>> pairs(n);
  for (std::size_t k = 0; k < n; ++k) pairs[k] = {x[k], carried[k]};
  std::stable_sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
    return ordered_bits(static_cast<double>(a.first)) < ordered_bits(static_cast<double>(b.first));
  });
  for (std::size_t k = 0; k < n; ++k) std::tie(x[k], carried[k]) = pairs[k];
}

// Pack each value's leading bits and its position into one key, sort the keys as plain numbers,
// fetch what the positions name, and settle the runs of values the leading bits left undecided.
template <class T, class Load>
void sort_carrying(std::span<const T> values, std::span<T> x, std::span<double> carried,
                   Load load) {
  const std::size_t n = values.size();
  if (n == 0) return;
  if (n >= std::size_t{1} << 32) {
    throw std::invalid_argument("values must number fewer than 2^32, got " + std::to_string(n));
  }
  const auto& kernel = kernels<SortKernels>().of<T>();
  std::uint64_t least = 0, greatest = 0;
  kernel.range(values.data(), n, least, greatest);
  KeyLayout layout{least, 0, static_cast<int>(std::bit_width(n - 1))};
  layout.shift =
      std::max(0, static_cast<int>(std::bit_width(greatest - least)) - 61 + layout.index_bits);
  kernel.pack(values.data(), 0, n, layout, carried.data());
  chosen<double>()(carried.data(), n);
  const std::uint64_t mask = (std::uint64_t{1} << layout.index_bits) - 1;
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t i = std::bit_cast<std::uint64_t>(carried[k]) & mask;
    x[k] = values[i];
    carried[k] = load(i);
  }
  if (layout.shift == 0) return;
  for (std::size_t k = 1; k < n; ++k) {
    if (ordered_bits(static_cast<double>(x[k])) >= ordered_bits(static_cast<double>(x[k - 1]))) {
      continue;
    }
    const std::uint64_t head = layout.head(static_cast<double>(x[k]));
    std::size_t first = k - 1, end = k + 1;
    while (first > 0 && layout.head(static_cast<double>(x[first - 1])) == head) --first;
    while (end < n && layout.head(static_cast<double>(x[end])) == head) ++end;
    sort_run(&x[first], &carried[first], end - first);
    k = end - 1;
  }
}

template <class T>
void sort_weighted(std::span<const T> values, std::span<const T> weights, std::span<T> x,
                   std::span<double> w) {
  if (weights.size() != values.size() || x.size() != values.size() || w.size() != values.size()) {
    throw std::invalid_argument("values, weights and both outputs must have one size");
  }
  sort_carrying(values, x, w, Weights<T>{weights.data()});
}

}  // namespace

SortFunctions own_sort() noexcept {
  return {"radix", &radix_doubles, &radix_floats};
}

void set_sort(SortFunctions functions) noexcept {
  lent = functions;
}

SortFunctions current_sort() noexcept {
  return lent.doubles != nullptr ? lent : own_sort();
}

void sort(std::span<const double> in, std::span<double> out, int threads) {
  sort_copy(in, out, threads);
}
void sort(std::span<const float> in, std::span<float> out, int threads) {
  sort_copy(in, out, threads);
}

void sort_with_weights(std::span<const double> values, std::span<const double> weights,
                       std::span<double> sorted_values, std::span<double> sorted_weights, int) {
  sort_weighted(values, weights, sorted_values, sorted_weights);
}
void sort_with_weights(std::span<const float> values, std::span<const float> weights,
                       std::span<float> sorted_values, std::span<double> sorted_weights, int) {
  sort_weighted(values, weights, sorted_values, sorted_weights);
}

void sort_with_order(std::span<const double> values, std::span<double> sorted_values,
                     std::span<std::int64_t> order, int) {
  if (sorted_values.size() != values.size() || order.size() != values.size()) {
    throw std::invalid_argument("values and both outputs must have one size");
  }
  // A signed integer and a double of one size may share storage only through bytes.
  std::vector<double> carried(values.size());
  sort_carrying(values, sorted_values, std::span<double>(carried), Positions{});
  std::transform(carried.begin(), carried.end(), order.begin(),
                 [](double d) { return std::bit_cast<std::int64_t>(d); });
}

}  // namespace recouple
