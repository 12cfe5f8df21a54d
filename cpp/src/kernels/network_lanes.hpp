// Registers of neurons, and which of them are active: for the kernels of networks alone.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>

#include "kernels/network.hpp"

namespace recouple {
namespace {

constexpr std::size_t panel = network_panel, tile = network_tile;

#if defined(__AVX512F__)
constexpr std::size_t register_bytes = 64, tile_rows = 6, tile_vectors = 4;
#elif defined(__AVX2__)
constexpr std::size_t register_bytes = 32, tile_rows = 6, tile_vectors = 2;
#else
constexpr std::size_t register_bytes = 16, tile_rows = 4, tile_vectors = 2;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(register_bytes)));
  static constexpr std::size_t width = register_bytes / sizeof(T);
};
template <class T>
using Vec = typename VectorOf<T>::type;

template <class T>
inline Vec<T> load(const T* p) noexcept {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
inline void store(T* p, Vec<T> v) noexcept {
  __builtin_memcpy(p, &v, sizeof v);
}
// By halves: as many steps as the width has bits.
template <class T, class V>
inline T sum_of_halves(V v) noexcept {
  if constexpr (sizeof v == 16) {
    if constexpr (sizeof(T) == 4) return (v[0] + v[2]) + (v[1] + v[3]);
    return v[0] + v[1];
  } else {
    typedef T Half __attribute__((vector_size(sizeof v / 2)));
    Half low, high;
    __builtin_memcpy(&low, &v, sizeof low);
    __builtin_memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
    return sum_of_halves<T, Half>(low + high);
  }
}
template <class T>
inline T sum_of(Vec<T> v) noexcept {
  return sum_of_halves<T, Vec<T>>(v);
}

// v where pre > 0, else 0; what is not a number counts as active, so that it is not lost.
template <class T>
inline Vec<T> where_active(Vec<T> pre, Vec<T> v) noexcept {
  return pre <= 0 ? Vec<T>{} : v;
}
template <class T>
inline Vec<T> relu(Vec<T> pre) noexcept {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {  // of 0 and not a number the second; all lanes, so that
    // no operand is undefined, of which GCC 12 warns
    return (Vec<T>)_mm512_maskz_max_ps(0xffff, _mm512_setzero_ps(), (__m512)pre);
  } else {
    return (Vec<T>)_mm512_maskz_max_pd(0xff, _mm512_setzero_pd(), (__m512d)pre);
  }
#else
  return pre < 0 ? Vec<T>{} : pre;
#endif
}

// Which lanes are active. With AVX-512 a few bits, which the way forward keeps for the way back;
// elsewhere a register, cheaper computed anew than kept.
#ifdef __AVX512F__
constexpr bool keeps_active = true;
template <class T>
struct ActiveOf {
  typedef __mmask16 type;
};
template <>
struct ActiveOf<double> {
  typedef __mmask8 type;
};
#else
constexpr bool keeps_active = false;
template <class T>
struct ActiveOf {
  typedef decltype(Vec<T>{} <= Vec<T>{}) type;
};
#endif
template <class T>
using Active = typename ActiveOf<T>::type;

template <class T>
inline Active<T> active(Vec<T> pre) noexcept {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    return _mm512_cmp_ps_mask((__m512)pre, _mm512_setzero_ps(), _CMP_NLE_UQ);
  } else {
    return _mm512_cmp_pd_mask((__m512d)pre, _mm512_setzero_pd(), _CMP_NLE_UQ);
  }
#else
  return ~(pre <= 0);
#endif
}

// a b + c where active, else c.
template <class T>
inline Vec<T> add_where(Active<T> k, Vec<T> a, Vec<T> b, Vec<T> c) noexcept {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask3_fmadd_ps((__m512)a, (__m512)b, (__m512)c, k);
  } else {
    return (Vec<T>)_mm512_mask3_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c, k);
  }
#else
  return k ? a * b + c : c;
#endif
}

// a b + c where active, else 0.
template <class T>
inline Vec<T> only_where(Active<T> k, T a, Vec<T> b, Vec<T> c) noexcept {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_fmadd_ps(k, (__m512)b, _mm512_set1_ps(a), (__m512)c);
  } else {
    return (Vec<T>)_mm512_maskz_fmadd_pd(k, (__m512d)b, _mm512_set1_pd(a), (__m512d)c);
  }
#else
  return k ? a * b + c : Vec<T>{};
#endif
}

}  // namespace
}  // namespace recouple
