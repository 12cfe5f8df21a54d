// What the bindings of laws share.
#pragma once

#include <span>
#include <string>

#include "bind.hpp"
#include "recouple/marginal.hpp"

namespace recouple::bindings {

// The curve of that name; ValueError if there is none.
Curve curve_of(const std::string& name);

// ValueError on NaN, and on probabilities outside [0, 1].
void check(Curve curve, std::span<const double> in);

}  // namespace recouple::bindings
