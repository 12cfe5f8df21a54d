#include "bind.hpp"
#include "recouple/plan.hpp"

namespace recouple::bindings {

void bind_plan(py::module_& m) {
  py::class_<MixturePlan>(m, "MixturePlan", "Gaussian mixture on R^2, the joint law of (X0, X1).")
      .def(py::init([](const Array& weights, const Array& means, const Array& covs) {
             return make_mixture_plan(view(weights), view(means), view(covs));
           }),
           "weights"_a.noconvert(), "means"_a.noconvert(), "covs"_a.noconvert());
  py::class_<GridPlan>(m, "GridPlan", "Masses on a rectangular grid.")
      .def(py::init([](const Array& x0, const Array& x1, const Array& mass) {
             return make_grid_plan(view(x0), view(x1), view(mass));
           }),
           "x0"_a.noconvert(), "x1"_a.noconvert(), "mass"_a.noconvert());
}

}  // namespace recouple::bindings
