// Interpolants X_t = a(t) X0 + b(t) X1 with a(0) = b(1) = 1 and a(1) = b(0) = 0.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace recouple {

// a, b and their time derivatives at one time.
struct Coefficients {
  double a, b, da, db;
};

class Interpolant {
 public:
  static const Interpolant linear;         // a = 1 - t, b = t
  static const Interpolant trigonometric;  // a = cos(pi t / 2), b = sin(pi t / 2): a^2 + b^2 = 1
  static const Interpolant cosine;         // a = (1 + cos(pi t)) / 2, b = 1 - a: straight, eased

  // Any other, as Chebyshev series of degree `degree` on equal pieces of [0, 1]: `series` holds
  // a, b, a' and b' in turn, each (pieces, degree + 1). Throws std::invalid_argument on sizes that
  // do not match and entries that are not finite.
  static Interpolant tabulated(std::string name, std::span<const double> series,
                               std::size_t pieces);

  Coefficients operator()(double t) const noexcept;
  std::string_view name() const noexcept;

  // The time at which this interpolant's b / a is that of `ratio`: paths of the two are then at
  // proportional places. By its angle atan2(b, a), which must increase.
  double time_of(const Coefficients& ratio) const noexcept;

  // The series of a tabulated interpolant; empty for the named ones.
  std::span<const double> series() const noexcept;
  std::size_t pieces() const noexcept { return table_ ? table_->pieces : 0; }

  bool operator==(const Interpolant& other) const noexcept;

 private:
  enum class Kind { linear, trigonometric, cosine, tabulated };
  struct Table {
    std::string name;
    std::vector<double> series;
    std::size_t pieces;
  };
  explicit Interpolant(Kind kind) : kind_(kind) {}

  Kind kind_;
  std::shared_ptr<const Table> table_;
};

inline Coefficients coefficients(const Interpolant& interpolant, double t) noexcept {
  return interpolant(t);
}

}  // namespace recouple
