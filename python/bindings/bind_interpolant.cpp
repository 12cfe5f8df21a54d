#include "bind.hpp"
#include "recouple/interpolant.hpp"

namespace recouple::bindings {

void bind_interpolant(py::module_& m) {
  py::class_<Interpolant>(m, "Interpolant", "X_t = a(t) X0 + b(t) X1.")
      .def_property_readonly_static("linear", [](const py::object&) { return Interpolant::linear; })
      .def_property_readonly_static("trigonometric",
                                    [](const py::object&) { return Interpolant::trigonometric; })
      .def_property_readonly_static("cosine", [](const py::object&) { return Interpolant::cosine; })
      .def_static(
          "tabulated",
          [](const std::string& name, const Array& series, std::size_t pieces) {
            return Interpolant::tabulated(name, view(series), pieces);
          },
          "name"_a, "series"_a.noconvert(), "pieces"_a,
          "From Chebyshev series of a, b, a' and b' on equal pieces of [0, 1].")
      .def_property_readonly("name", &Interpolant::name, "What it is called.")
      .def(
          "time_of",
          [](const Interpolant& i, double a, double b) {
            return i.time_of({a, b, 0, 0});
          },
          "a"_a, "b"_a, "The time at which b / a has this value.")
      .def("__eq__",
           [](const Interpolant& i, const py::object& other) {
             return py::isinstance<Interpolant>(other) && i == other.cast<Interpolant>();
           })
      .def("__hash__",
           [](const Interpolant& i) { return py::hash(py::str(std::string(i.name()))); })
      .def("__repr__", [](const Interpolant& i) { return "Interpolant." + std::string(i.name()); })
      .def(py::pickle(
          [](const Interpolant& i) {
            const auto series = i.series();
            return py::make_tuple(std::string(i.name()),
                                  std::vector<double>(series.begin(), series.end()), i.pieces());
          },
          [](const py::tuple& state) {
            const auto name = state[0].cast<std::string>();
            if (const auto pieces = state[2].cast<std::size_t>(); pieces > 0) {
              return Interpolant::tabulated(name, state[1].cast<std::vector<double>>(), pieces);
            }
            if (name == "trigonometric") return Interpolant::trigonometric;
            return name == "cosine" ? Interpolant::cosine : Interpolant::linear;
          }));
  m.def(
      "coefficients",
      [](const Interpolant& interpolant, double t) {
        const Coefficients c = coefficients(interpolant, t);
        return py::make_tuple(c.a, c.b, c.da, c.db);
      },
      "interpolant"_a, "t"_a, "a, b and their derivatives at t.");
}

}  // namespace recouple::bindings
