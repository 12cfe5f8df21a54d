// Gradients for few outputs whose heads are all +-magnitude, neurons grouped by their signs.
//
// Within a group f is one sum of relu(w . z), and the residual that reaches a neuron is one number
// for each row. Forward a register holds rows, so that sums over neurons need no sum across it, and
// a comparison leaves the bits of a neuron's rows side by side. Back a register holds neurons: the
// gradient of a neuron is a sum of numbers over the rows where it is active, so rows are taken a
// few at a time, the sums over all subsets of them put into two registers, and every neuron picks
// its own by its bits.
#pragma once

#include "kernels/network_lanes.hpp"

namespace recouple {
namespace {

#ifdef __AVX512F__
template <class T>
struct WordsOf {
  typedef std::uint32_t type __attribute__((vector_size(64)));
};
template <>
struct WordsOf<double> {
  typedef std::uint64_t type __attribute__((vector_size(64)));
};
template <class T>
using Words = typename WordsOf<T>::type;  // a register of neurons' words: a bit for each row

// Rows whose bits fill a word, and rows whose subsets fill two registers.
template <class T>
constexpr std::size_t word_rows = 8 * sizeof(T);
template <class T>
constexpr std::size_t subset_rows = sizeof(T) == 4 ? 5 : 4;

// A number in all lanes: less 0, for that changes no number and GCC sees it.
template <class T>
inline Vec<T> all(T x) noexcept {
  return x - Vec<T>{};
}

// a + b where k, else a.
template <class T>
inline Vec<T> add_only(Active<T> k, Vec<T> a, Vec<T> b) noexcept {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_add_ps((__m512)a, k, (__m512)a, (__m512)b);
  } else {
    return (Vec<T>)_mm512_mask_add_pd((__m512d)a, k, (__m512d)a, (__m512d)b);
  }
}

// Of the numbers in `low` and `high` those that the last bits of `words` name.
template <class T>
inline Vec<T> pick(Words<T> words, Vec<T> low, Vec<T> high) noexcept {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_permutex2var_ps((__m512)low, (__m512i)words, (__m512)high);
  } else {
    return (Vec<T>)_mm512_permutex2var_pd((__m512d)low, (__m512i)words, (__m512d)high);
  }
}

// Numbers of T in the tables of subset sums of a tile.
template <class T, std::size_t d>
constexpr std::size_t subset_sums = (tile / word_rows<T>)*((word_rows<T> + subset_rows<T> - 1) /
                                                           subset_rows<T>)*(std::size_t{1}
                                                                            << (d - 1)) *
                                    (d + 2) * 2 * VectorOf<T>::width;

// What a gradient works on, for rows of a tile and what pads them.
template <class T, std::size_t d>
struct Signs {
  static constexpr std::size_t half = std::size_t{1} << (d - 1), padded = tile + VectorOf<T>::width;
  T z[d + 2][tile], target[d][tile];
  T r[d][tile];                  // outputs, then residuals
  T reach[half][d + 2][padded];  // what reaches the neurons of group k times z
  T sums[subset_sums<T, d>];     // of these over subsets of rows: (fields, k, d + 2, 2, width)
};

// Where the weights of neuron r start.
template <class T>
inline std::size_t place_of(std::size_t inputs, std::size_t r) noexcept {
  return (r / panel) * inputs * panel + r % panel;
}

// f for some registers of rows from row `first` of a tile, and the bits of every neuron's words:
// words (words of a tile, neurons).
template <class T, std::size_t d, std::size_t registers>
inline void forward_rows_signs(const NetworkView<T>& net, std::size_t first, Signs<T, d>& my,
                               unsigned char* words) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  Vec<T> z[d + 1][registers], total[d][registers] = {};
#pragma GCC unroll 4
  for (std::size_t c = 0; c <= d; ++c) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < registers; ++i) z[c][i] = load(my.z[c] + first + i * width);
  }
  const std::size_t neurons = net.panels * panel;
  words += first / word_rows<T> * neurons * sizeof(T) + first % word_rows<T> / 8;
  std::size_t unit = 0;
#pragma GCC unroll 1
  for (std::size_t k = 0; k < std::size_t{1} << d; ++k) {
    Vec<T> sum[registers] = {};
    for (const std::size_t end = net.group_ends[k]; unit < end; ++unit) {
      const T* from = net.weights + place_of<T>(d + 2, unit * network_group);
      T start[network_group];
      for (std::size_t v = 0; v < network_group; v += width) {
        store<T>(start + v, net.bias * load(from + (d + 1) * panel + v));
      }
      Vec<T> part[registers] = {};  // few terms a sum, for little rounding
#pragma GCC unroll 1
      for (std::size_t r = 0; r < network_group; ++r, ++from, words += sizeof(T)) {
        Vec<T> w[d + 1];
#pragma GCC unroll 4
        for (std::size_t c = 0; c <= d; ++c) {
          w[c] = all(from[c * panel]);
          asm("" : "+v"(w[c]));  // read once, not for each register of rows
        }
#pragma GCC unroll 4
        for (std::size_t i = 0; i < registers; ++i) {
          Vec<T> pre = all(start[r]);
          asm("" : "+v"(pre));  // from memory, not from a register that must be kept
#pragma GCC unroll 4
          for (std::size_t c = 0; c <= d; ++c) pre += w[c] * z[c][i];
          const Active<T> on = active<T>(pre);
          part[i] = add_only<T>(on, part[i], pre);
          const std::size_t row = i * width;
          __builtin_memcpy(
              words + row / word_rows<T> * neurons * sizeof(T) + row % word_rows<T> / 8, &on,
              sizeof on);
        }
      }
#pragma GCC unroll 4
      for (std::size_t i = 0; i < registers; ++i) sum[i] += part[i];
    }
#pragma GCC unroll 3
    for (std::size_t j = 0; j < d; ++j) {
      const bool minus = (k >> j & 1) != 0;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < registers; ++i) {
        total[j][i] = minus ? total[j][i] - sum[i] : total[j][i] + sum[i];
      }
    }
  }
  const T scale = net.scale * net.magnitude;
#pragma GCC unroll 3
  for (std::size_t j = 0; j < d; ++j) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < registers; ++i) {
      store<T>(my.r[j] + first + i * width, scale * total[j][i]);
    }
  }
}

// For groups k < 2^(d - 1), of which the others are negatives: sums over subsets of rows.
template <class T, std::size_t d>
inline void sum_subsets(const NetworkView<T>& net, std::size_t n, Signs<T, d>& my) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  for (std::size_t k = 0; k < my.half; ++k) {
    for (std::size_t s = 0; s < tile; s += width) {
      Vec<T> g{};
#pragma GCC unroll 3
      for (std::size_t j = 0; j < d; ++j) {
        const Vec<T> r = load(my.r[j] + s);
        g = (k >> j & 1) != 0 ? g - r : g + r;
      }
      g *= net.magnitude;
#pragma GCC unroll 5
      for (std::size_t c = 0; c < d + 2; ++c) {
        store<T>(my.reach[k][c] + s, g * load(my.z[c] + s));
      }
    }
    for (std::size_t c = 0; c < d + 2; ++c) store<T>(my.reach[k][c] + tile, Vec<T>{});
  }
  T* sums = my.sums;
  for (std::size_t first = 0; first < n; first += word_rows<T>) {
    for (std::size_t s = first; s < first + word_rows<T> && s < n; s += subset_rows<T>) {
      for (std::size_t k = 0; k < my.half; ++k) {
#pragma GCC unroll 5
        for (std::size_t c = 0; c < d + 2; ++c) {
          const T* of = my.reach[k][c] + s;
          Vec<T> low{};
#pragma GCC unroll 4
          for (std::size_t b = 0; b + 1 < subset_rows<T>; ++b) {
            constexpr unsigned with[] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};  // lanes with bit b set
            low = add_only<T>(static_cast<Active<T>>(with[b]), low, all(of[b]));
          }
          store<T>(sums, low);
          store<T>(sums + width, low + of[subset_rows<T> - 1]);
          sums += 2 * width;
        }
      }
    }
  }
}

// The gradient of some registers of neurons, from neuron r.
template <class T, std::size_t d, std::size_t abreast>
inline void backward_registers(const NetworkView<T>& net, std::size_t n, std::size_t r,
                               const T* sums, bool minus, const unsigned char* words,
                               T* gw) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  constexpr std::size_t stride = Signs<T, d>::half * (d + 2) * 2 * width;
  const std::size_t neurons = net.panels * panel;
  Vec<T> sum[abreast][d + 2] = {};
  for (std::size_t first = 0; first < n; first += word_rows<T>) {
    Words<T> bits[abreast];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < abreast; ++i) {
      __builtin_memcpy(&bits[i],
                       words + (first / word_rows<T> * neurons + r + i * width) * sizeof(T),
                       sizeof bits[i]);
    }
    const std::size_t end = first + word_rows<T> < n ? first + word_rows<T> : n;
    for (std::size_t row = first; row < end; row += subset_rows<T>, sums += stride) {
#pragma GCC unroll 5
      for (std::size_t c = 0; c < d + 2; ++c) {
        const Vec<T> low = load(sums + 2 * c * width), high = load(sums + (2 * c + 1) * width);
#pragma GCC unroll 2
        for (std::size_t i = 0; i < abreast; ++i) sum[i][c] += pick<T>(bits[i], low, high);
      }
#pragma GCC unroll 2
      for (std::size_t i = 0; i < abreast; ++i) bits[i] >>= subset_rows<T>;
    }
  }
#pragma GCC unroll 2
  for (std::size_t i = 0; i < abreast; ++i) {
    T* to = gw + place_of<T>(d + 2, r + i * width);
#pragma GCC unroll 5
    for (std::size_t c = 0; c < d + 2; ++c) {
      const Vec<T> before = load(to + c * panel);
      store<T>(to + c * panel, minus ? before - sum[i][c] : before + sum[i][c]);
    }
  }
}

// Rows of `count` numbers as columns, padded with zeros.
template <class T, std::size_t count>
inline void columns(std::size_t n, const T* rows, T (*to)[tile]) noexcept {
#pragma GCC ivdep
  for (std::size_t s = 0; s < n; ++s) {
#pragma GCC unroll 5
    for (std::size_t c = 0; c < count; ++c) to[c][s] = rows[s * count + c];
  }
  for (std::size_t c = 0; c < count; ++c) {
    for (std::size_t s = n; s < tile; ++s) to[c][s] = 0;
  }
}

// f - target in place of f, zeros for what pads the rows; returns the sum of its squares.
template <class T, std::size_t d>
inline double residuals_signs(std::size_t n, Signs<T, d>& my) noexcept {
  Vec<T> square{};
  for (std::size_t j = 0; j < d; ++j) {
    for (std::size_t s = n; s < tile; ++s) my.r[j][s] = 0;
    for (std::size_t s = 0; s < tile; s += VectorOf<T>::width) {
      const Vec<T> r = load(my.r[j] + s) - load(my.target[j] + s);
      store<T>(my.r[j] + s, r);
      square += r * r;
    }
  }
  return static_cast<double>(sum_of<T>(square));
}

template <class T, std::size_t d>
double gradient_signs(const NetworkView<T>& net, std::size_t n, const T* z, const T* target, T* gw,
                      T* scratch) noexcept {
  constexpr std::size_t width = VectorOf<T>::width, last = (std::size_t{1} << d) - 1;
  auto& my = *reinterpret_cast<Signs<T, d>*>(scratch);
  auto* words = reinterpret_cast<unsigned char*>(scratch + sizeof my / sizeof(T));
  columns<T, d + 2>(n, z, my.z);
  columns<T, d>(n, target, my.target);
  std::size_t row = 0;
  for (; row + 3 * width < n; row += 4 * width) forward_rows_signs<T, d, 4>(net, row, my, words);
  for (; row < n; row += width) forward_rows_signs<T, d, 1>(net, row, my, words);

  const double loss = residuals_signs<T, d>(n, my);
  sum_subsets<T, d>(net, n, my);
  std::size_t r = 0;
  for (std::size_t k = 0; k <= last; ++k) {
    const bool minus = k > last / 2;
    const T* of = my.sums + (minus ? last - k : k) * (d + 2) * 2 * width;
    const std::size_t end = net.group_ends[k] * network_group;
    for (; r + 2 * width <= end; r += 2 * width) {
      backward_registers<T, d, 2>(net, n, r, of, minus, words, gw);
    }
    for (; r < end; r += width) backward_registers<T, d, 1>(net, n, r, of, minus, words, gw);
  }
  return loss;
}
#endif

}  // namespace
}  // namespace recouple
