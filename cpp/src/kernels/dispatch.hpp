// How a room calls its kernels: kernels<FieldKernels>().mixture_velocity(...).
//
// A kernel table is a struct of function pointers with `template <Simd> static const Table& at()`.
// Each kernel source is compiled once per level (recouple_add_kernels) and specialises `at` for its
// own level; this header picks the table of the level chosen at load.
#pragma once

#include "recouple/simd.hpp"

namespace recouple {

template <class Table>
const Table& kernels() noexcept {
  switch (simd_level()) {
#ifdef RECOUPLE_X86_LEVELS
    case Simd::avx512:
      return Table::template at<Simd::avx512>();
    case Simd::avx2:
      return Table::template at<Simd::avx2>();
#endif
    default:
      return Table::template at<Simd::baseline>();
  }
}

#ifdef RECOUPLE_SIMD_LEVEL
constexpr Simd level_of_this_file = Simd::RECOUPLE_SIMD_LEVEL;
#endif

}  // namespace recouple
