#include "bind.hpp"
#include "recouple/interpolant.hpp"

namespace recouple::bindings {

void bind_interpolant(py::module_& m) {
  py::enum_<Interpolant>(m, "Interpolant", "X_t = a(t) X0 + b(t) X1.")
      .value("linear", Interpolant::linear)
      .value("trigonometric", Interpolant::trigonometric);
  m.def(
      "coefficients",
      [](Interpolant interpolant, double t) {
        const Coefficients c = coefficients(interpolant, t);
        return py::make_tuple(c.a, c.b, c.da, c.db);
      },
      "interpolant"_a, "t"_a, "a, b and their derivatives at t.");
}

}  // namespace recouple::bindings
