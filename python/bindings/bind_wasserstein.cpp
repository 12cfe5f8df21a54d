#include <optional>

#include "bind.hpp"
#include "recouple/wasserstein.hpp"

namespace recouple::bindings {
namespace {

template <class T>
using ArrayOf = py::array_t<T, py::array::c_style>;
using Rows = py::array_t<std::size_t, py::array::c_style>;

template <class T>
std::span<const T> items(const ArrayOf<T>& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}

// Rows of values (rows, n) with weights (1, n), (rows, n) or none.
template <class T>
Samples<T> samples(const ArrayOf<T>& values, const std::optional<ArrayOf<T>>& weights) {
  Samples<T> side{items(values), static_cast<std::size_t>(values.shape(values.ndim() - 1)), {}};
  if (weights) side.weights = items(*weights);
  return side;
}

template <class T>
Array distances(const ArrayOf<T>& u, const ArrayOf<T>& v, const std::optional<ArrayOf<T>>& uw,
                const std::optional<ArrayOf<T>>& vw, const Rows& u_rows, const Rows& v_rows,
                double p, bool power, bool assume_sorted, int threads) {
  const Samples<T> left = samples(u, uw), right = samples(v, vw);
  Array out = allocate({u_rows.shape(), u_rows.shape() + u_rows.ndim()});
  const auto result = writable(out);
  const auto u_index = items(u_rows), v_index = items(v_rows);
  py::gil_scoped_release release;
  wasserstein_1d(left, right, u_index, v_index, {p, power, assume_sorted, threads}, result);
  return out;
}

template <class T>
void bind_distances(py::module_& m) {
  m.def("wasserstein_1d", &distances<T>, py::arg("u_values").noconvert(),
        py::arg("v_values").noconvert(), py::arg("u_weights").noconvert().none(true),
        py::arg("v_weights").noconvert().none(true), py::kw_only(), py::arg("u_rows").noconvert(),
        py::arg("v_rows").noconvert(), py::arg("p"), py::arg("power"), py::arg("assume_sorted"),
        py::arg("threads"), "Distances between rows of samples, one for each pair of rows.");
}

py::tuple plan(const Array& u, const Array& v, const std::optional<Array>& uw,
               const std::optional<Array>& vw) {
  const Samples<double> left = samples(u, uw), right = samples(v, vw);
  const std::size_t most = left.size + right.size - 1;
  std::vector<std::int64_t> rows(most), cols(most);
  std::vector<double> mass(most);
  std::size_t entries = 0;
  {
    py::gil_scoped_release release;
    entries = wasserstein_1d_plan(left, right, rows, cols, mass);
  }
  const auto n = static_cast<py::ssize_t>(entries);
  return py::make_tuple(py::array_t<std::int64_t>(n, rows.data()),
                        py::array_t<std::int64_t>(n, cols.data()),
                        py::array_t<double>(n, mass.data()));
}

py::tuple gradients(const Array& u, const Array& v, const std::optional<Array>& uw,
                    const std::optional<Array>& vw, double p, bool power, int threads) {
  const Samples<double> left = samples(u, uw), right = samples(v, vw);
  Array distance = allocate({static_cast<py::ssize_t>(left.rows())});
  Array du = allocate_like(u), dv = allocate_like(v), duw = allocate_like(u),
        dvw = allocate_like(v);
  const WassersteinGradients out{writable(distance), writable(du), writable(dv), writable(duw),
                                 writable(dvw)};
  {
    py::gil_scoped_release release;
    wasserstein_1d_grad(left, right, {p, power, false, threads}, out);
  }
  return py::make_tuple(distance, du, dv, duw, dvw);
}

}  // namespace

void bind_wasserstein(py::module_& m) {
  bind_distances<double>(m);
  bind_distances<float>(m);
  m.def("wasserstein_1d_plan", &plan, py::arg("u_values").noconvert(),
        py::arg("v_values").noconvert(), py::arg("u_weights").noconvert().none(true),
        py::arg("v_weights").noconvert().none(true), "Entries of the plan: u, v and mass.");
  m.def("wasserstein_1d_grad", &gradients, py::arg("u_values").noconvert(),
        py::arg("v_values").noconvert(), py::arg("u_weights").noconvert().none(true),
        py::arg("v_weights").noconvert().none(true), py::kw_only(), py::arg("p"), py::arg("power"),
        py::arg("threads"), "Distances of rows, and gradients by values and weights.");
}

}  // namespace recouple::bindings
