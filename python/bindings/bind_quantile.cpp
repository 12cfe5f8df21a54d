#include "bind.hpp"
#include "recouple/quantile.hpp"

namespace recouple::bindings {

void bind_quantile(py::module_& m) {
  m.def("tabulate", [](const AnyMarginal& law, double u_error) {
    const py::gil_scoped_release release;
    return AnyMarginal(Tabulated(law, u_error));
  }, py::arg("law"), py::arg("u_error"), "A law with a table of its quantiles.");
  m.def("table_report", [](const AnyMarginal& law) {
    const auto* table = law.as<Tabulated>();
    if (table == nullptr) throw std::invalid_argument("law must be tabulated");
    return std::pair(table->u_error(), table->size());
  }, py::arg("law"), "Largest error measured in u, and number of cells.");

  using Method = void (TransportMap::*)(std::span<const double>, std::span<double>) const;
  const auto method = [](Method f) {
    return [f](const TransportMap& self, const Array& x) {
      Array y = allocate_like(x);
      {
        const auto in = view(x);
        const auto out = writable(y);
        const py::gil_scoped_release release;
        (self.*f)(in, out);
      }
      for (const AnyMarginal* law : {&self.source(), &self.target()}) {
        if (const auto error = law->error()) std::rethrow_exception(error);
      }
      return y;
    };
  };
  py::class_<TransportMap>(m, "TransportMap", "The increasing map between two laws.")
      .def("map", method(&TransportMap::operator()), py::arg("x").noconvert(), "T(x).")
      .def("derivative", method(&TransportMap::derivative), py::arg("x").noconvert(), "T'(x).");
  m.def("transport_map", [](const AnyMarginal& source, const AnyMarginal& target) {
    return TransportMap(source, target);
  }, py::arg("source"), py::arg("target"), "The increasing map from one law to another.");
}

}  // namespace recouple::bindings
