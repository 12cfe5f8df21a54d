#include "bind_marginal.hpp"
#include "recouple/quantile.hpp"

namespace recouple::bindings {

void bind_quantile(py::module_& m) {
  m.def(
      "tabulate",
      [](const AnyMarginal& law, double u_error) {
        const py::gil_scoped_release release;
        return AnyMarginal(Tabulated(law, u_error));
      },
      py::arg("law"), py::arg("u_error"), "A law with a table of its quantiles.");
  m.def(
      "table_report",
      [](const AnyMarginal& law) {
        const auto* table = law.as<Tabulated>();
        if (table == nullptr) throw std::invalid_argument("law must be tabulated");
        return std::pair(table->u_error(), table->size());
      },
      py::arg("law"), "Largest error measured in u, and number of cells.");

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
  m.def(
      "transport_map",
      [](const AnyMarginal& source, const AnyMarginal& target) {
        return TransportMap(source, target);
      },
      py::arg("source"), py::arg("target"), "The increasing map from one law to another.");
  py::class_<CdfInverse>(m, "CdfInverse", "Quantiles of a cdf written in Python.")
      .def(py::init([](py::function cdf, double lower, double upper) {
             const auto call = [cdf = std::move(cdf)](std::span<const double> x,
                                                      std::span<double> p) {
               const Array points(static_cast<py::ssize_t>(x.size()), x.data());
               const auto values =
                   py::cast<py::array_t<double, py::array::c_style | py::array::forcecast>>(
                       cdf(points));
               if (static_cast<std::size_t>(values.size()) != p.size()) {
                 throw std::invalid_argument("cdf must return one value per point, got " +
                                             std::to_string(values.size()) + " for " +
                                             std::to_string(p.size()));
               }
               std::copy_n(values.data(), p.size(), p.data());
             };
             return CdfInverse(call, {lower, upper});
           }),
           py::arg("cdf"), py::arg("lower"), py::arg("upper"))
      .def(
          "__call__",
          [](const CdfInverse& self, const Array& u) {
            Array x = allocate_like(u);
            self(view(u), writable(x));
            return x;
          },
          py::arg("u").noconvert(), "The least x with cdf(x) >= u.");
  m.def(
      "evaluate_rows",
      [](const std::vector<const AnyMarginal*>& laws, const std::string& curve, const Array& in,
         int threads) {
        std::vector<AnyMarginal> rows;
        for (const AnyMarginal* law : laws) rows.push_back(*law);
        const Curve which = curve_of(curve);
        check(which, view(in));
        Array out = allocate_like(in);
        {
          const auto x = view(in);
          const auto y = writable(out);
          const py::gil_scoped_release release;
          evaluate_rows(rows, which, x, y, threads);
        }
        for (const AnyMarginal& law : rows) {
          if (const auto error = law.error()) std::rethrow_exception(error);
        }
        return out;
      },
      py::arg("laws"), py::arg("curve"), py::arg("x").noconvert(), py::arg("threads") = 0,
      "Row i of x through laws[i].");
}

}  // namespace recouple::bindings
