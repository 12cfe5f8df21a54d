#include "recouple/field_change.hpp"

namespace recouple {

AnyField reversed_time(AnyField field) {
  const auto change = [](double t) noexcept { return Changed{1 - t, 1, -1, 0}; };
  return ChangedField<decltype(change)>(std::move(field), change);
}

// Both X_t are multiples of X0 cos(angle) + X1 sin(angle), so equal angles make them proportional.
AnyField change_interpolant(AnyField field, Interpolant from, Interpolant to) {
  const auto change = [from = std::move(from), to = std::move(to)](double t) noexcept {
    const Coefficients c = to(t);
    const double time = from.time_of(c);
    const Coefficients o = from(time);
    const double new_square = c.a * c.a + c.b * c.b, old_square = o.a * o.a + o.b * o.b;
    const double scale = std::sqrt(new_square / old_square);
    const double time_rate =
        (c.a * c.db - c.b * c.da) / new_square / ((o.a * o.db - o.b * o.da) / old_square);
    const double scale_rate = scale * ((c.a * c.da + c.b * c.db) / new_square -
                                       time_rate * (o.a * o.da + o.b * o.db) / old_square);
    return Changed{time, scale, time_rate, scale_rate};
  };
  return ChangedField<std::decay_t<decltype(change)>>(std::move(field), change);
}

}  // namespace recouple
