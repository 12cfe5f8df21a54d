#include "bind.hpp"
#include "recouple/plan.hpp"

namespace recouple::bindings {

void bind_plan(py::module_& m) {
  py::class_<MixturePlan>(m, "MixturePlan",
                          "Gaussian mixture on R^(2D), the joint law of (X0, X1).")
      .def(py::init([](const Array& weights, const Array& means, const Array& covs) {
             return make_mixture_plan(view(weights), view(means), view(covs));
           }),
           "weights"_a.noconvert(), "means"_a.noconvert(), "covs"_a.noconvert());
  py::class_<DatasetPlan>(m, "DatasetPlan", "Noise independent of a row of a data set.")
      .def(py::init([](const Array& data, double std, const Array& weights) {
             return make_dataset_plan(static_cast<std::size_t>(data.shape(1)), view(data), std,
                                      view(weights));
           }),
           "data"_a.noconvert(), "std"_a, "weights"_a.noconvert());
  py::class_<GridPlan>(m, "GridPlan", "Masses on a rectangular grid.")
      .def(py::init([](const Array& x0, const Array& x1, const Array& mass) {
             return make_grid_plan(view(x0), view(x1), view(mass));
           }),
           "x0"_a.noconvert(), "x1"_a.noconvert(), "mass"_a.noconvert());
  py::class_<GridDensity>(m, "GridDensity", "The spline density of a grid plan.")
      .def(py::init<const GridPlan&>(), "plan"_a);
  m.def(
      "grid_density",
      [](const GridDensity& density, const Array& x0, const Array& x1) {
        Array p = allocate_like(x0);
        const auto a = view(x0), b = view(x1);
        const auto out = writable(p);
        py::gil_scoped_release release;
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = density(a[i], b[i]);
        return p;
      },
      "density"_a, "x0"_a.noconvert(), "x1"_a.noconvert(), "Density at pairs.");
  m.def(
      "grid_slice",
      [](const GridDensity& density, double x0) {
        Array p = allocate({static_cast<py::ssize_t>(density.n1)});
        density.slice(x0, writable(p));
        return p;
      },
      "density"_a, "x0"_a, "Density along x1 at the grid points, for one x0.");
  m.def(
      "sample_conditional",
      [](const MixturePlan& plan, const Array& x0, const Array& u, const Array& z, int threads) {
        Array x1 = allocate_like(x0);
        const auto a = view(x0), b = view(u), c = view(z);
        const auto out = writable(x1);
        py::gil_scoped_release release;
        sample_conditional(plan, a, b, c, out, threads);
        return x1;
      },
      "plan"_a, "x0"_a.noconvert(), "u"_a.noconvert(), "z"_a.noconvert(), "threads"_a = 0,
      "One draw of X1 given each X0, from uniforms and normals.");
  m.def(
      "sample_grid_conditional",
      [](const GridDensity& density, const Array& x0, const Array& u, int threads) {
        Array x1 = allocate_like(x0);
        const auto a = view(x0), b = view(u);
        const auto out = writable(x1);
        py::gil_scoped_release release;
        sample_conditional(density, a, b, out, threads);
        return x1;
      },
      "density"_a, "x0"_a.noconvert(), "u"_a.noconvert(), "threads"_a = 0,
      "One draw of X1 given each X0, from uniforms.");
}

}  // namespace recouple::bindings
