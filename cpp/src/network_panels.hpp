// Weights of a network as its kernels want them: panels of neurons, aligned and padded with zeros.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/network.hpp"
#include "recouple/network.hpp"

namespace recouple {

// Zeros, aligned to cache lines.
template <class T>
class Panels {
 public:
  Panels() = default;
  explicit Panels(std::size_t n) : size_(n), lines_((n + in_line - 1) / in_line) {}
  void fit(std::size_t n) {
    if (size_ < n) *this = Panels(n);
  }
  std::size_t size() const noexcept { return size_; }
  T* data() noexcept { return lines_.empty() ? nullptr : lines_.front().values; }
  const T* data() const noexcept { return lines_.empty() ? nullptr : lines_.front().values; }

 private:
  static constexpr std::size_t in_line = 64 / sizeof(T);
  struct alignas(64) Line {
    T values[in_line] = {};
  };
  std::size_t size_ = 0;
  std::vector<Line> lines_;
};

// Neurons in groups of equal signs of their heads, where all heads are +-magnitude.
struct SignGroups {
  std::vector<std::uint32_t> slots;  // of each neuron; none: neurons as they come
  std::vector<std::uint32_t> ends;   // of the groups, in units of network_group
  double magnitude = 1;

  SignGroups() = default;
  explicit SignGroups(const NetworkWeights& w) {
    constexpr std::size_t most_outputs = 3;
    constexpr auto unit = static_cast<std::uint32_t>(network_group);
    if (w.dim > most_outputs || w.head_count() > 1) return;
    magnitude = std::abs(w.heads[0]);
    for (const double a : w.heads) {
      if (std::abs(a) != magnitude || a == 0) return;
    }
    std::vector<std::uint32_t> group(w.width), next(std::size_t{1} << w.dim);
    for (std::size_t r = 0; r < w.width; ++r) {
      for (std::size_t j = 0; j < w.dim; ++j) {
        group[r] |= w.heads[r * w.dim + j] < 0 ? 1u << j : 0u;
      }
      ++next[group[r]];
    }
    std::uint32_t end = 0;
    for (std::uint32_t& count : next) {
      const std::uint32_t begin = end * unit;
      end += (count + unit - 1) / unit;
      ends.push_back(end);
      count = begin;
    }
    if (2 * end * network_group > 3 * w.width) {  // the padding would cost more than signs save
      ends.clear();
      return;
    }
    for (std::size_t r = 0; r < w.width; ++r) slots.push_back(next[group[r]]++);
  }
};

struct NetworkShape {
  explicit NetworkShape(const NetworkWeights& w, SignGroups arranged = {})
      : dim(w.dim),
        width(w.width),
        inputs(w.dim + 2),
        panels(((arranged.ends.empty() ? w.width : arranged.ends.back() * network_group) +
                network_panel - 1) /
               network_panel),
        padded((w.dim + network_padding - 1) / network_padding * network_padding),
        groups(std::move(arranged)) {}
  std::size_t dim, width, inputs, panels, padded;
  SignGroups groups;

  std::size_t hidden_size() const noexcept { return panels * inputs * network_panel; }
  std::size_t head_size() const noexcept { return panels * dim * network_panel; }
  std::size_t across_size() const noexcept { return panels * network_panel * padded; }

  // The view without its heads.
  template <class T>
  NetworkView<T> view(const T* weights, const NetworkWeights& w) const noexcept {
    return {panels,
            inputs,
            dim,
            padded,
            weights,
            nullptr,
            nullptr,
            static_cast<T>(w.bias),
            static_cast<T>(1 / std::sqrt(double(width))),
            groups.ends.empty() ? nullptr : groups.ends.data(),
            static_cast<T>(groups.magnitude)};
  }

  // Rows of `columns` numbers, one for each neuron, into (panels, columns, panel), and back.
  template <class T>
  void pack(std::span<const double> rows, std::size_t columns, T* to) const noexcept {
    for (std::size_t r = 0; r < width; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        to[at(r, c, columns)] = static_cast<T>(rows[r * columns + c]);
      }
    }
  }
  template <class T>
  void unpack(const T* from, std::size_t columns, std::span<double> rows) const noexcept {
    for (std::size_t r = 0; r < width; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        rows[r * columns + c] = static_cast<double>(from[at(r, c, columns)]);
      }
    }
  }
  template <class T>
  void pack_hidden(std::span<const double> hidden, T* to) const noexcept {
    pack(hidden, inputs, to);
  }
  template <class T>
  void pack_head(std::span<const double> head, T* to) const noexcept {
    pack(head, dim, to);
  }

  // A packed head into (panels, panel, padded).
  template <class T>
  void transpose(const T* head, T* across) const noexcept {
    for (std::size_t r = 0; r < width; ++r) {
      for (std::size_t j = 0; j < dim; ++j) across[slot(r) * padded + j] = head[at(r, j, dim)];
    }
  }

  // z = (x, c t, b).
  template <class T>
  void place(const T* x, double t, const NetworkWeights& w, T* z) const noexcept {
    for (std::size_t c = 0; c < dim; ++c) z[c] = x[c];
    z[dim] = static_cast<T>(w.time_scale * t);
    z[dim + 1] = static_cast<T>(w.bias);
  }

 private:
  std::size_t slot(std::size_t r) const noexcept {
    return groups.slots.empty() ? r : groups.slots[r];
  }
  std::size_t at(std::size_t r, std::size_t c, std::size_t columns) const noexcept {
    const std::size_t s = slot(r);
    return (s / network_panel * columns + c) * network_panel + s % network_panel;
  }
};

}  // namespace recouple
