#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.hpp"

namespace recouple {

// Neurons come in panels, padded with neurons whose weights and heads are zero; the columns of a
// transposed head are padded too. Inputs come in tiles of at most network_tile rows.
inline constexpr std::size_t network_panel = 64;
inline constexpr std::size_t network_padding = 16;
inline constexpr std::size_t network_tile = 64;
inline constexpr std::size_t network_group = 16;

// f_j(z) = scale sum_r heads[r, j] relu(weights[r] . z); the last input is the constant `bias`.
template <class T>
struct NetworkView {
  std::size_t panels, inputs, outputs, padded_outputs;
  const T* weights;  // (panels, inputs, panel)
  const T* heads;    // (panels, outputs, panel)
  const T* across;   // (panels, panel, padded_outputs): the heads transposed
  T bias, scale;
  // Where every head is +-magnitude: the neurons come in 2^outputs groups, bit j of the group's
  // number set where heads[., j] < 0, and group k ends before neuron network_group * group_ends[k].
  // Otherwise null.
  const std::uint32_t* group_ends;
  T magnitude;
};

template <class T>
struct NetworkKernels {
  bool groups;  // whether the gradient gains by neurons in groups of equal signs

  // f at z (n, inputs), n <= network_tile, into out (n, outputs).
  void (*forward)(const NetworkView<T>& net, std::size_t n, const T* z, T* out,
                  T* scratch) noexcept;

  // Sum over rows of |f - target|^2, and half its gradient over `scale` added to weights and, if
  // not null, to heads, both laid out like the network's.
  double (*gradient)(const NetworkView<T>& net, std::size_t n, const T* z, const T* target,
                     T* weights, T* heads, T* scratch) noexcept;

  // Sum over active neurons of `value` (panels, panel) into out (n).
  void (*active_sum)(const NetworkView<T>& net, std::size_t n, const T* z, const T* value, T* out,
                     T* scratch) noexcept;

  // sum_r active heads[r, j] values[r, k] into out (n, outputs, padded_outputs); values are
  // (panels, panel, padded_outputs).
  void (*active_product)(const NetworkView<T>& net, std::size_t n, const T* z, const T* values,
                         T* out, T* scratch) noexcept;

  // last = w, w -= rate (v = momentum v + factor g); v may be null when momentum is 0.
  void (*descend)(std::size_t n, T* w, T* last, const T* g, T* v, T factor, T momentum,
                  T rate) noexcept;

  // last = w, and Adam (Kingma & Ba 2015) for the gradient factor g; correct1, correct2 =
  // 1 / (1 - beta^step).
  void (*adam)(std::size_t n, T* w, T* last, const T* g, T* first, T* second, T factor, T beta1,
               T beta2, T correct1, T correct2, T epsilon, T rate) noexcept;

  template <Simd>
  static const NetworkKernels& at() noexcept;
};

// Numbers of T that the kernels' scratch must hold.
inline std::size_t network_scratch(std::size_t panels, std::size_t inputs,
                                   std::size_t padded_outputs) noexcept {
  constexpr std::size_t subset_sums = 10240;  // of a tile, for at most three outputs
  return network_tile * (panels * network_panel + network_panel + inputs + 3 * padded_outputs) +
         padded_outputs * network_panel + subset_sums;
}

}  // namespace recouple
