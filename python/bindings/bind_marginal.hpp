// What the bindings of laws share.
#pragma once

#include <string>

#include "bind.hpp"
#include "recouple/marginal.hpp"

namespace recouple::bindings {

// The curve of that name; ValueError if there is none.
Curve curve_of(const std::string& name);

}  // namespace recouple::bindings
