#include "recouple/sort.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#ifdef RECOUPLE_HAS_HIGHWAY
#include <hwy/contrib/sort/vqsort.h>
#endif

#include "buffer.hpp"
#include "kernels/sort.hpp"
#include "recouple/parallel.hpp"

namespace recouple {
namespace {

#ifdef RECOUPLE_HAS_HIGHWAY
// As whole numbers, for vqsort does not sort infinities among doubles: the bits of a negative
// number, but for the sign, count backwards.
template <class T, class Bits>
void highway_sort(T* values, std::size_t n) noexcept {
  const auto flip = [](Bits bits) noexcept {
    return static_cast<Bits>(bits ^
                             ((bits >> (8 * sizeof(Bits) - 1)) & std::numeric_limits<Bits>::max()));
  };
  const auto flip_all = [&] {
    for (std::size_t i = 0; i < n; ++i) {
      values[i] = std::bit_cast<T>(flip(std::bit_cast<Bits>(values[i])));
    }
  };
  flip_all();
  hwy::Sorter sorter;
  sorter(reinterpret_cast<Bits*>(values), n, hwy::SortAscending());
  flip_all();
}
void highway_doubles(double* values, std::size_t n) noexcept {
  highway_sort<double, std::int64_t>(values, n);
}
void highway_floats(float* values, std::size_t n) noexcept {
  highway_sort<float, std::int32_t>(values, n);
}
constexpr SortFunctions own{"highway", &highway_doubles, &highway_floats};
#else
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
constexpr SortFunctions own{"radix", &radix_doubles, &radix_floats};
#endif

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

// Dealing: a copy that puts each item into the bucket of its value, between splitters drawn from
// the values, so that every bucket can be sorted in its place, by any thread and in its cache. A
// merge of sorted chunks would need as much memory again. Items keep their order within a bucket.
constexpr std::size_t deal_buckets = 64;
constexpr std::size_t least_to_deal = std::size_t{1} << 16;
using BucketStarts = std::array<std::size_t, deal_buckets + 1>;

template <class T>
bool any_nan(std::span<const T> values, int threads) {
  constexpr std::size_t block = std::size_t{1} << 16;
  const std::size_t n = values.size(), blocks = (n + block - 1) / block;
  const auto& kernel = kernels<SortKernels>().of<T>();
  std::atomic<bool> found{false};
  parallel_for(blocks, threads, [&](std::size_t b) noexcept {
    if (kernel.has_nan(&values[b * block], std::min(block, n - b * block))) found = true;
  });
  return found;
}

template <class T, class Put>
BucketStarts deal(std::span<const T> values, int threads, Put put) {
  constexpr std::size_t draws = 32;
  const std::size_t n = values.size();
  const auto& kernel = kernels<SortKernels>().of<T>();
  std::array<T, deal_buckets * draws> sample;
  for (std::size_t k = 0; k < sample.size(); ++k) sample[k] = values[k * (n / sample.size())];
  chosen<T>()(sample.data(), sample.size());
  std::array<T, deal_buckets - 1> splitters;
  for (std::size_t k = 0; k < splitters.size(); ++k) splitters[k] = sample[(k + 1) * draws];

  // Blocks count what they deal to each bucket, and with that know where to put it.
  const std::size_t block = std::max(std::size_t{1} << 15, (n + 255) / 256);
  const std::size_t blocks = (n + block - 1) / block;
  std::vector<std::array<std::size_t, deal_buckets>> place(blocks);
  Buffer<std::uint8_t> bucket(n);
  parallel_for(blocks, threads, [&](std::size_t b) noexcept {
    const std::size_t first = b * block, end = std::min(n, first + block);
    kernel.classify(&values[first], end - first, splitters.data(), &bucket[first]);
    std::array<std::array<std::uint32_t, deal_buckets>, 4>
        count{};  // four, lest each waits for the last
    for (std::size_t i = first; i < end; ++i) ++count[i % 4][bucket[i]];
    for (std::size_t k = 0; k < deal_buckets; ++k) {
      place[b][k] = std::size_t{count[0][k]} + count[1][k] + count[2][k] + count[3][k];
    }
  });
  BucketStarts start{};
  std::size_t total = 0;
  for (std::size_t k = 0; k < deal_buckets; ++k) {
    start[k] = total;
    for (auto& counts : place) total += std::exchange(counts[k], total);
  }
  start[deal_buckets] = total;
  parallel_for(blocks, threads, [&](std::size_t b) noexcept {
    std::array<std::size_t, deal_buckets> at = place[b];
    const std::size_t end = std::min(n, (b + 1) * block);
    for (std::size_t i = b * block; i < end; ++i) put(at[bucket[i]]++, i);
  });
  return start;
}

template <class T>
bool sort_copy(std::span<const T> in, std::span<T> out, int threads) {
  if (in.size() != out.size()) throw std::invalid_argument("out must have the size of in");
  threads = threads_for(double(in.size()) * 8, threads);
  if (threads == 1 || in.size() < least_to_deal) {
    if (kernels<SortKernels>().of<T>().copy_has_nan(in.data(), out.data(), in.size())) return false;
    chosen<T>()(out.data(), out.size());
    return true;
  }
  if (any_nan(in, threads)) return false;
  try {
    const auto start =
        deal(in, threads, [&](std::size_t to, std::size_t from) noexcept { out[to] = in[from]; });
    parallel_for(deal_buckets, threads, [&](std::size_t k) noexcept {
      chosen<T>()(out.data() + start[k], start[k + 1] - start[k]);
    });
    return true;
  } catch (const std::bad_alloc&) {  // one thread needs no room
    return sort_copy(in, out, 1);
  }
}

// What travels with the value at position i, as a double: a weight, or the position itself.
template <class T>
struct Loads {
  const T* loads;
  double operator()(std::size_t i) const noexcept { return static_cast<double>(loads[i]); }
  void prefetch(std::size_t i) const noexcept { __builtin_prefetch(loads + i); }
};
struct Positions {
  double operator()(std::size_t i) const noexcept {
    return std::bit_cast<double>(static_cast<std::int64_t>(i));
  }
  void prefetch(std::size_t) const noexcept {}
};

// Values that agree in the head of their keys are still in the order they came in. Sort such a run
// of pairs stably by the full value.
template <class T>
void sort_run(T* x, double* carried, std::size_t n) noexcept {
  const auto bits = [](T value) noexcept { return ordered_bits(static_cast<double>(value)); };
  if (n > 32) {
    try {
      std::vector<std::pair<T, double>> pairs(n);
      for (std::size_t k = 0; k < n; ++k) pairs[k] = {x[k], carried[k]};
      std::stable_sort(pairs.begin(), pairs.end(), [&](const auto& a, const auto& b) noexcept {
        return bits(a.first) < bits(b.first);
      });
      for (std::size_t k = 0; k < n; ++k) std::tie(x[k], carried[k]) = pairs[k];
      return;
    } catch (const std::bad_alloc&) {  // slowly, then
    }
  }
  for (std::size_t k = 1; k < n; ++k) {
    const T value = x[k];
    const double load = carried[k];
    std::size_t i = k;
    for (; i > 0 && bits(x[i - 1]) > bits(value); --i) {
      x[i] = x[i - 1];
      carried[i] = carried[i - 1];
    }
    x[i] = value;
    carried[i] = load;
  }
}

// Sort by packed keys: each value's leading bits and its position in one number. The keys are
// sorted as plain numbers, the items fetched that their positions name, and the runs settled that
// the leading bits left undecided.
template <class T, class Load>
bool sort_items(const T* values, std::size_t n, Load load, T* x, double* carried) noexcept {
  if (n == 0) return true;
  const auto& kernel = kernels<SortKernels>().of<T>();
  std::uint64_t least = 0, greatest = 0;
  kernel.range(values, n, least, greatest);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (least < ordered_bits(-infinity) || greatest > ordered_bits(infinity)) return false;
  KeyLayout layout{least, 0, static_cast<int>(std::bit_width(n - 1))};
  layout.shift =
      std::max(0, static_cast<int>(std::bit_width(greatest - least)) - 61 + layout.index_bits);
  kernel.pack(values, n, layout, carried);
  chosen<double>()(carried, n);
  const std::uint64_t mask = (std::uint64_t{1} << layout.index_bits) - 1;
  const auto position = [&](std::size_t k) noexcept {
    return std::bit_cast<std::uint64_t>(carried[k]) & mask;
  };
  constexpr std::size_t ahead = 16;  // positions jump about: ask early for what they name
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t i = position(k), soon = position(std::min(k + ahead, n - 1));
    __builtin_prefetch(values + soon);
    load.prefetch(soon);
    x[k] = values[i];
    carried[k] = load(i);
  }
  if (layout.shift == 0) return true;
  const auto bits = [](T value) noexcept { return ordered_bits(static_cast<double>(value)); };
  for (std::size_t k = 1; k < n; ++k) {
    if (bits(x[k]) >= bits(x[k - 1])) continue;
    const std::uint64_t head = layout.head(static_cast<double>(x[k]));
    std::size_t first = k - 1, end = k + 1;
    while (first > 0 && layout.head(static_cast<double>(x[first - 1])) == head) --first;
    while (end < n && layout.head(static_cast<double>(x[end])) == head) ++end;
    sort_run(&x[first], &carried[first], end - first);
    k = end - 1;
  }
  return true;
}

template <class T, class Load>
bool sort_carrying(std::span<const T> values, std::span<T> x, std::span<double> carried, Load load,
                   int threads) {
  const std::size_t n = values.size();
  if (n >= std::size_t{1} << 32) {
    throw std::invalid_argument("values must number fewer than 2^32, got " + std::to_string(n));
  }
  threads = threads_for(double(n) * 20, threads);
  if (threads == 1 || n < least_to_deal) {
    return sort_items(values.data(), n, load, x.data(), carried.data());
  }
  if (any_nan(values, threads)) return false;
  try {
    Buffer<T> dealt(n);
    Buffer<double> loads(n);
    const auto start = deal(values, threads, [&](std::size_t to, std::size_t from) noexcept {
      dealt[to] = values[from];
      loads[to] = load(from);
    });
    parallel_for(deal_buckets, threads, [&](std::size_t k) noexcept {
      const T* value = dealt.data() + start[k];
      const double* carry = loads.data() + start[k];
      sort_items(value, start[k + 1] - start[k], Loads<double>{carry}, x.data() + start[k],
                 carried.data() + start[k]);
    });
    return true;
  } catch (const std::bad_alloc&) {  // one thread needs no room
    return sort_items(values.data(), n, load, x.data(), carried.data());
  }
}

template <class T>
bool sort_weighted(std::span<const T> values, std::span<const T> weights, std::span<T> x,
                   std::span<double> w, int threads) {
  if (weights.size() != values.size() || x.size() != values.size() || w.size() != values.size()) {
    throw std::invalid_argument("values, weights and both outputs must have one size");
  }
  return sort_carrying(values, x, w, Loads<T>{weights.data()}, threads);
}

}  // namespace

SortFunctions own_sort() noexcept {
  return own;
}

void set_sort(SortFunctions functions) noexcept {
  lent = functions;
}

SortFunctions current_sort() noexcept {
  return lent.doubles != nullptr ? lent : own_sort();
}

bool sort(std::span<const double> in, std::span<double> out, int threads) {
  return sort_copy(in, out, threads);
}
bool sort(std::span<const float> in, std::span<float> out, int threads) {
  return sort_copy(in, out, threads);
}

bool sort_with_weights(std::span<const double> values, std::span<const double> weights,
                       std::span<double> sorted_values, std::span<double> sorted_weights,
                       int threads) {
  return sort_weighted(values, weights, sorted_values, sorted_weights, threads);
}
bool sort_with_weights(std::span<const float> values, std::span<const float> weights,
                       std::span<float> sorted_values, std::span<double> sorted_weights,
                       int threads) {
  return sort_weighted(values, weights, sorted_values, sorted_weights, threads);
}

bool sort_with_order(std::span<const double> values, std::span<double> sorted_values,
                     std::span<std::int64_t> order, int threads) {
  if (sorted_values.size() != values.size() || order.size() != values.size()) {
    throw std::invalid_argument("values and both outputs must have one size");
  }
  // A signed integer and a double of one size may share storage only through bytes.
  Buffer<double> carried(values.size());
  if (!sort_carrying(values, sorted_values, carried.part(0, values.size()), Positions{}, threads)) {
    return false;
  }
  std::transform(carried.data(), carried.data() + values.size(), order.begin(),
                 [](double d) { return std::bit_cast<std::int64_t>(d); });
  return true;
}

}  // namespace recouple
