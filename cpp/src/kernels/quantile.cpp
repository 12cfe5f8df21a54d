#include "kernels/quantile.hpp"

#if defined(__AVX512F__) || defined(__AVX2__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own headers
#endif
#include <immintrin.h>
#endif

namespace recouple {
namespace {

constexpr int key_shift = 52 - table_key_bits;
constexpr std::int64_t first_key = std::int64_t{1023 - table_octaves} << table_key_bits;

// One point; also the vectors' tail end, so it rounds exactly as they do.
inline double one(const TableView& table, bool upper, double u, bool& deep) noexcept {
  const bool low = u <= 0.5;
  const double small = low ? u : 1 - u;
  deep |= small < 0x1p-40;
  const double w = small >= 0x1p-40 ? small : 0x1p-40;
  const auto bits = __builtin_bit_cast(std::int64_t, w);
  auto key = static_cast<std::int32_t>((bits >> key_shift) - first_key);
  key = key < table_keys ? key : table_keys - 1;
  std::int32_t c = table.guide[key + (low == upper ? table_keys : 0)];
  if (c < 0) {
    c = ~c;
    while (w >= table.left[c + 1]) ++c;
  }
  const double t = w - table.left[c];
  const double* a = table.cells + 8 * static_cast<std::size_t>(c);
#if defined(__FMA__)
  const auto step = [t](double p, double b) noexcept { return __builtin_fma(p, t, b); };
#else
  const auto step = [t](double p, double b) noexcept { return p * t + b; };
#endif
  return step(step(step(step(step(step(a[6], a[5]), a[4]), a[3]), a[2]), a[1]), a[0]);
}

bool lookup(const TableView& table, bool upper, const double* u, double* x,
            std::size_t n) noexcept {
  std::size_t i = 0;
  bool deep = false;
#if defined(__AVX512F__)
  const __m512d half = _mm512_set1_pd(0.5), unit = _mm512_set1_pd(1.0);
  const __m512d least = _mm512_set1_pd(0x1p-40);
  const __m512i base = _mm512_set1_epi64(first_key), top = _mm512_set1_epi64(table_keys - 1);
  const __m512i for_low = _mm512_set1_epi64(upper ? table_keys : 0);
  const __m512i for_high = _mm512_set1_epi64(upper ? 0 : table_keys);
  __mmask8 deep_lanes = 0;
  for (; i + 8 <= n; i += 8) {
    const __m512d v = _mm512_loadu_pd(u + i);
    const __mmask8 low = _mm512_cmp_pd_mask(v, half, _CMP_LE_OQ);
    const __m512d small = _mm512_mask_blend_pd(low, _mm512_sub_pd(unit, v), v);
    deep_lanes |= _mm512_cmp_pd_mask(small, least, _CMP_LT_OQ);
    const __m512d w = _mm512_max_pd(small, least);
    __m512i key = _mm512_sub_epi64(_mm512_srli_epi64(_mm512_castpd_si512(w), key_shift), base);
    key = _mm512_min_epi64(key, top);
    key = _mm512_add_epi64(key, _mm512_mask_blend_epi64(low, for_high, for_low));
    __m256i c = _mm512_i64gather_epi32(key, table.guide, 4);
    __mmask8 walking = _mm256_movepi32_mask(c);
    c = _mm256_mask_xor_epi32(c, walking, c, _mm256_set1_epi32(-1));
    while (walking != 0) {
      const __m512d next = _mm512_mask_i32gather_pd(least, walking, c, table.left + 1, 8);
      walking = _mm512_mask_cmp_pd_mask(walking, w, next, _CMP_GE_OQ);
      c = _mm256_mask_add_epi32(c, walking, c, _mm256_set1_epi32(1));
    }
    // Whole cells are loaded and turned into columns: a third of the work of gathering them.
    alignas(32) std::int32_t at[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(at), _mm256_slli_epi32(c, 3));
    const auto row = [&](int k) noexcept { return _mm512_loadu_pd(table.cells + at[k]); };
    const __m512d r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
    const __m512d r4 = row(4), r5 = row(5), r6 = row(6), r7 = row(7);
    const __m512d e0 = _mm512_unpacklo_pd(r0, r1), o0 = _mm512_unpackhi_pd(r0, r1);
    const __m512d e1 = _mm512_unpacklo_pd(r2, r3), o1 = _mm512_unpackhi_pd(r2, r3);
    const __m512d e2 = _mm512_unpacklo_pd(r4, r5), o2 = _mm512_unpackhi_pd(r4, r5);
    const __m512d e3 = _mm512_unpacklo_pd(r6, r7), o3 = _mm512_unpackhi_pd(r6, r7);
    const __m512d e04a = _mm512_shuffle_f64x2(e0, e1, 0x88);
    const __m512d e04b = _mm512_shuffle_f64x2(e2, e3, 0x88);
    const __m512d e26a = _mm512_shuffle_f64x2(e0, e1, 0xdd);
    const __m512d e26b = _mm512_shuffle_f64x2(e2, e3, 0xdd);
    const __m512d o15a = _mm512_shuffle_f64x2(o0, o1, 0x88);
    const __m512d o15b = _mm512_shuffle_f64x2(o2, o3, 0x88);
    const __m512d o37a = _mm512_shuffle_f64x2(o0, o1, 0xdd);
    const __m512d o37b = _mm512_shuffle_f64x2(o2, o3, 0xdd);
    const __m512d t = _mm512_sub_pd(w, _mm512_shuffle_f64x2(o37a, o37b, 0xdd));
    __m512d p = _mm512_shuffle_f64x2(e26a, e26b, 0xdd);
    p = _mm512_fmadd_pd(p, t, _mm512_shuffle_f64x2(o15a, o15b, 0xdd));
    p = _mm512_fmadd_pd(p, t, _mm512_shuffle_f64x2(e04a, e04b, 0xdd));
    p = _mm512_fmadd_pd(p, t, _mm512_shuffle_f64x2(o37a, o37b, 0x88));
    p = _mm512_fmadd_pd(p, t, _mm512_shuffle_f64x2(e26a, e26b, 0x88));
    p = _mm512_fmadd_pd(p, t, _mm512_shuffle_f64x2(o15a, o15b, 0x88));
    p = _mm512_fmadd_pd(p, t, _mm512_shuffle_f64x2(e04a, e04b, 0x88));
    _mm512_storeu_pd(x + i, p);
  }
  deep = deep_lanes != 0;
#elif defined(__AVX2__)
  const __m256d half = _mm256_set1_pd(0.5), unit = _mm256_set1_pd(1.0);
  const __m256d least = _mm256_set1_pd(0x1p-40);
  const __m256i base = _mm256_set1_epi64x(first_key), top = _mm256_set1_epi64x(table_keys - 1);
  const __m256d for_low = _mm256_castsi256_pd(_mm256_set1_epi64x(upper ? table_keys : 0));
  const __m256d for_high = _mm256_castsi256_pd(_mm256_set1_epi64x(upper ? 0 : table_keys));
  __m256d deep_lanes = _mm256_setzero_pd();
  for (; i + 4 <= n; i += 4) {
    const __m256d v = _mm256_loadu_pd(u + i);
    const __m256d low = _mm256_cmp_pd(v, half, _CMP_LE_OQ);
    const __m256d small = _mm256_blendv_pd(_mm256_sub_pd(unit, v), v, low);
    deep_lanes = _mm256_or_pd(deep_lanes, _mm256_cmp_pd(small, least, _CMP_LT_OQ));
    const __m256d w = _mm256_max_pd(small, least);
    __m256i key = _mm256_sub_epi64(_mm256_srli_epi64(_mm256_castpd_si256(w), key_shift), base);
    key = _mm256_blendv_epi8(key, top, _mm256_cmpgt_epi64(key, top));
    key = _mm256_add_epi64(key, _mm256_castpd_si256(_mm256_blendv_pd(for_high, for_low, low)));
    const __m128i found = _mm256_i64gather_epi32(table.guide, key, 4);
    __m256i c = _mm256_cvtepi32_epi64(found);
    __m256d walking = _mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_setzero_si256(), c));
    c = _mm256_xor_si256(c, _mm256_castpd_si256(walking));
    while (_mm256_movemask_pd(walking) != 0) {
      const __m256d next = _mm256_i64gather_pd(table.left + 1, c, 8);
      walking = _mm256_and_pd(walking, _mm256_cmp_pd(w, next, _CMP_GE_OQ));
      c = _mm256_sub_epi64(c, _mm256_castpd_si256(walking));
    }
    const __m256d t = _mm256_sub_pd(w, _mm256_i64gather_pd(table.left, c, 8));
    const __m256i at = _mm256_slli_epi64(c, 3);
    __m256d p = _mm256_i64gather_pd(table.cells + 6, at, 8);
    p = _mm256_fmadd_pd(p, t, _mm256_i64gather_pd(table.cells + 5, at, 8));
    p = _mm256_fmadd_pd(p, t, _mm256_i64gather_pd(table.cells + 4, at, 8));
    p = _mm256_fmadd_pd(p, t, _mm256_i64gather_pd(table.cells + 3, at, 8));
    p = _mm256_fmadd_pd(p, t, _mm256_i64gather_pd(table.cells + 2, at, 8));
    p = _mm256_fmadd_pd(p, t, _mm256_i64gather_pd(table.cells + 1, at, 8));
    p = _mm256_fmadd_pd(p, t, _mm256_i64gather_pd(table.cells, at, 8));
    _mm256_storeu_pd(x + i, p);
  }
  deep = _mm256_movemask_pd(deep_lanes) != 0;
#endif
  for (; i < n; ++i) x[i] = one(table, upper, u[i], deep);
  return deep;
}

}  // namespace

template <>
const QuantileKernels& QuantileKernels::at<level_of_this_file>() noexcept {
  static constexpr QuantileKernels table{&recouple::lookup};
  return table;
}

}  // namespace recouple
