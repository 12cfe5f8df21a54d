// Gradients for few outputs whose heads are all +-magnitude, neurons grouped by their signs.
//
// Within a group f is one sum of relu(w . z), and the residual that reaches a neuron is one number
// for each row. The gradient of a neuron is then a sum of such numbers over the rows where it is
// active: rows are taken a few at a time, the sums over all subsets of them put into one register,
// and every neuron picks its own by a permutation.
#pragma once

#include "kernels/network_lanes.hpp"

namespace recouple {
namespace {

#ifdef __AVX512F__
typedef std::int64_t Words __attribute__((vector_size(64)));

// Rows whose subsets fill a register, rows of a step forward, rows whose bits fill a word.
template <class T>
struct Subsets {
  static constexpr std::size_t rows = 4, step = 4 * rows, word = 2 * step;
  typedef std::int32_t Word;
  static Words set(Words bits, __mmask16 k, Word bit) noexcept {
    return (Words)_mm512_mask_or_epi32((__m512i)bits, k, (__m512i)bits, _mm512_set1_epi32(bit));
  }
  static Words up(Words bits, std::size_t by) noexcept {
    return (Words)_mm512_maskz_sll_epi32(0xffff, (__m512i)bits, _mm_cvtsi64_si128((long long)by));
  }
  static Words next(Words bits) noexcept {
    return (Words)_mm512_maskz_srli_epi32(0xffff, (__m512i)bits, rows);
  }
  static Vec<float> pick(Words bits, Vec<float> sums) noexcept {
    return (Vec<float>)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)bits, (__m512)sums);
  }
  static Vec<float> add(__mmask16 k, Vec<float> a, Vec<float> b) noexcept {
    return (Vec<float>)_mm512_mask_add_ps((__m512)a, k, (__m512)a, (__m512)b);
  }
};
template <>
struct Subsets<double> {
  static constexpr std::size_t rows = 3, step = 4 * rows, word = 4 * step;
  typedef long long Word;
  static Words set(Words bits, __mmask8 k, Word bit) noexcept {
    return (Words)_mm512_mask_or_epi64((__m512i)bits, k, (__m512i)bits, _mm512_set1_epi64(bit));
  }
  static Words up(Words bits, std::size_t by) noexcept {
    return (Words)_mm512_maskz_sll_epi64(0xff, (__m512i)bits, _mm_cvtsi64_si128((long long)by));
  }
  static Words next(Words bits) noexcept {
    return (Words)_mm512_maskz_srli_epi64(0xff, (__m512i)bits, rows);
  }
  static Vec<double> pick(Words bits, Vec<double> sums) noexcept {
    return (Vec<double>)_mm512_maskz_permutexvar_pd(0xff, (__m512i)bits, (__m512d)sums);
  }
  static Vec<double> add(__mmask8 k, Vec<double> a, Vec<double> b) noexcept {
    return (Vec<double>)_mm512_mask_add_pd((__m512d)a, k, (__m512d)a, (__m512d)b);
  }
};

inline Words load_words(const void* p) noexcept {
  Words w;
  __builtin_memcpy(&w, p, sizeof w);
  return w;
}

// Where the weights of the v-th register of neurons start.
template <class T>
inline const T* register_of(const T* weights, std::size_t inputs, std::size_t v) noexcept {
  constexpr std::size_t each = panel / VectorOf<T>::width;
  return weights + (v / each) * inputs * panel + v % each * VectorOf<T>::width;
}

// f for `rows` rows from row `first` of a tile, and bit `row % word` of every neuron's word where
// it is active: words (neurons / width, words of a tile, width).
template <class T, std::size_t d, std::size_t rows>
inline void forward_rows_signs(const NetworkView<T>& net, std::size_t first, const T* z, T* out,
                               T* words) noexcept {
  using Rows = Subsets<T>;
  constexpr std::size_t width = VectorOf<T>::width, in_tile = (tile + Rows::word - 1) / Rows::word;
  constexpr std::size_t each = network_group / width;
  const std::size_t at = first % Rows::word;
  z += first * (d + 2);
  typename Rows::Word bit[rows];
  for (std::size_t s = 0; s < rows; ++s) bit[s] = typename Rows::Word{1} << s;
  Vec<T> total[d][rows] = {};
  std::size_t v = 0;
#pragma GCC unroll 1
  for (std::size_t k = 0; k < std::size_t{1} << d; ++k) {
    Vec<T> sum[rows] = {};
    for (const std::size_t end = net.group_ends[k] * each; v < end; ++v) {
      const T* from = register_of(net.weights, d + 2, v);
      Vec<T> w[d + 1], start = net.bias * load(from + (d + 1) * panel);
      asm("" : "+v"(start));  // a product to keep, not to fuse into every row
#pragma GCC unroll 4
      for (std::size_t c = 0; c <= d; ++c) w[c] = load(from + c * panel);
      const T* zs = z;  // one pointer and offsets, not a pointer for each number
      const auto* one = bit;
      asm("" : "+r"(zs), "+r"(one) : "m"(bit));
      Words bits{};
#pragma GCC unroll 16
      for (std::size_t s = 0; s < rows; ++s) {
        Vec<T> pre = start;
#pragma GCC unroll 4
        for (std::size_t c = 0; c <= d; ++c) pre += zs[s * (d + 2) + c] * w[c];
        const Active<T> on = active<T>(pre);
        sum[s] = Rows::add(on, sum[s], pre);
        bits = Rows::set(bits, on, one[s]);
      }
      T* to = words + (v * in_tile + first / Rows::word) * width;
      if (at > 0) bits = Rows::up(bits, at) | load_words(to);
      __builtin_memcpy(to, &bits, sizeof bits);
    }
#pragma GCC unroll 3
    for (std::size_t j = 0; j < d; ++j) {
      const bool minus = (k >> j & 1) != 0;
#pragma GCC unroll 16
      for (std::size_t s = 0; s < rows; ++s) {
        total[j][s] = minus ? total[j][s] - sum[s] : total[j][s] + sum[s];
      }
    }
  }
  const T scale = net.scale * net.magnitude;
  for (std::size_t s = 0; s < rows; ++s) {
    for (std::size_t j = 0; j < d; ++j) out[(first + s) * d + j] = scale * sum_of<T>(total[j][s]);
  }
}

// Numbers of T in the tables of subset sums of a tile.
template <class T, std::size_t d>
constexpr std::size_t subset_sums =
    (tile + Subsets<T>::rows - 1) / Subsets<T>::rows*(std::size_t{1} << (d - 1)) *
    (d + 2) * VectorOf<T>::width;

// For groups k < 2^(d - 1), of which the others are negatives: sums over subsets of rows of what
// reaches a neuron times z, (row groups, k, d + 2, width).
template <class T, std::size_t d>
inline void sum_subsets(const NetworkView<T>& net, std::size_t n, const T* z, const T* r,
                        T* sums) noexcept {
  using Rows = Subsets<T>;
  constexpr std::size_t width = VectorOf<T>::width, half = std::size_t{1} << (d - 1);
  for (std::size_t first = 0; first < n; first += Rows::rows) {
    T value[half][Rows::rows][d + 2] = {};
    const std::size_t count = first + Rows::rows <= n ? Rows::rows : n - first;
    for (std::size_t s = 0; s < count; ++s) {
      const T *zs = z + (first + s) * (d + 2), *rs = r + (first + s) * d;
#pragma GCC unroll 4
      for (std::size_t k = 0; k < half; ++k) {
        T g = 0;
#pragma GCC unroll 3
        for (std::size_t j = 0; j < d; ++j) g += (k >> j & 1) != 0 ? -rs[j] : rs[j];
        g *= net.magnitude;
#pragma GCC unroll 5
        for (std::size_t c = 0; c < d + 2; ++c) value[k][s][c] = g * zs[c];
      }
    }
#pragma GCC unroll 4
    for (std::size_t k = 0; k < half; ++k) {
#pragma GCC unroll 5
      for (std::size_t c = 0; c < d + 2; ++c) {
        Vec<T> all{};
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Rows::rows; ++b) {
          constexpr unsigned with[] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};  // lanes with bit b set
          all = Rows::add(static_cast<Active<T>>(with[b]), all, Vec<T>{} + value[k][b][c]);
        }
        store<T>(sums, all);
        sums += width;
      }
    }
  }
}

template <class T, std::size_t d, std::size_t abreast>
inline void backward_registers(const NetworkView<T>& net, std::size_t n, std::size_t v,
                               const T* sums, bool minus, const T* words, T* gw) noexcept {
  using Rows = Subsets<T>;
  constexpr std::size_t width = VectorOf<T>::width, in_tile = (tile + Rows::word - 1) / Rows::word;
  constexpr std::size_t stride = (std::size_t{1} << (d - 1)) * (d + 2) * width;
  Vec<T> sum[abreast][d + 2] = {};
  for (std::size_t first = 0; first < n; first += Rows::word) {
    Words bits[abreast];
    for (std::size_t i = 0; i < abreast; ++i) {
      bits[i] = load_words(words + ((v + i) * in_tile + first / Rows::word) * width);
    }
    const std::size_t end = first + Rows::word < n ? first + Rows::word : n;
    for (std::size_t row = first; row < end; row += Rows::rows, sums += stride) {
#pragma GCC unroll 5
      for (std::size_t c = 0; c < d + 2; ++c) {
        const Vec<T> all = load(sums + c * width);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < abreast; ++i) sum[i][c] += Rows::pick(bits[i], all);
      }
#pragma GCC unroll 4
      for (std::size_t i = 0; i < abreast; ++i) bits[i] = Rows::next(bits[i]);
    }
  }
  for (std::size_t i = 0; i < abreast; ++i) {
    T* to = gw + (register_of(net.weights, d + 2, v + i) - net.weights);
    for (std::size_t c = 0; c < d + 2; ++c) {
      const Vec<T> before = load(to + c * panel);
      store<T>(to + c * panel, minus ? before - sum[i][c] : before + sum[i][c]);
    }
  }
}

template <class T, std::size_t d>
void backward_signs(const NetworkView<T>& net, std::size_t n, const T* sums, const T* words,
                    T* gw) noexcept {
  constexpr std::size_t width = VectorOf<T>::width, each = network_group / width;
  constexpr std::size_t last = (std::size_t{1} << d) - 1;
  std::size_t v = 0;
  for (std::size_t k = 0; k <= last; ++k) {
    const bool minus = k > last / 2;
    const T* of = sums + (minus ? last - k : k) * (d + 2) * width;
    const std::size_t end = net.group_ends[k] * each;
    for (; v + 2 <= end; v += 2) backward_registers<T, d, 2>(net, n, v, of, minus, words, gw);
    for (; v < end; ++v) backward_registers<T, d, 1>(net, n, v, of, minus, words, gw);
  }
}

template <class T, std::size_t d>
void forward_signs(const NetworkView<T>& net, std::size_t n, const T* z, T* out,
                   T* words) noexcept {
  constexpr std::size_t step = Subsets<T>::step;
  std::size_t i = 0;
  for (; i + step <= n; i += step) forward_rows_signs<T, d, step>(net, i, z, out, words);
  for (; i + 4 <= n; i += 4) forward_rows_signs<T, d, 4>(net, i, z, out, words);
  for (; i < n; ++i) forward_rows_signs<T, d, 1>(net, i, z, out, words);
}
#endif

}  // namespace
}  // namespace recouple
