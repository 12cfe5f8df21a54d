// Eight doubles as one value, for kernels whose inner loop is exactly eight wide.
//
// The compiler's vector extension: one register with AVX-512, two with AVX2, four below. Included
// by kernel sources only (see vecmath.hpp).
#pragma once

#include <cstddef>

namespace recouple {
namespace {

using Lanes8 = double __attribute__((vector_size(64)));
using UnalignedLanes8 = double __attribute__((vector_size(64), aligned(8), may_alias));

[[maybe_unused, gnu::always_inline]] inline void load8(const double* from, Lanes8& to) noexcept {
  to = *reinterpret_cast<const UnalignedLanes8*>(from);
}
[[maybe_unused, gnu::always_inline]] inline void store8(double* to, const Lanes8& from) noexcept {
  *reinterpret_cast<UnalignedLanes8*>(to) = from;
}

}  // namespace
}  // namespace recouple
