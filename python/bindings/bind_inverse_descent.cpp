#include "bind.hpp"
#include "recouple/inverse_descent.hpp"

namespace recouple::bindings {

void bind_inverse_descent(py::module_& m) {
  py::class_<BinnedProjections>(m, "BinnedProjections", "Masses on a grid to bins of X_t.")
      .def(py::init([](std::size_t n0, std::size_t n1, double h0, double h1, const Array& times) {
             return BinnedProjections(n0, n1, h0, h1, view(times));
           }),
           "n0"_a, "n1"_a, "h0"_a, "h1"_a, "times"_a.noconvert())
      .def_property_readonly("first_bin",
                             [](const BinnedProjections& p) {
                               return std::vector<std::size_t>(p.first_bin().begin(),
                                                               p.first_bin().end());
                             })
      .def(
          "project",
          [](const BinnedProjections& p, const Array& mass, int threads) {
            const auto from = view(mass);
            Array out = allocate({static_cast<py::ssize_t>(p.bins())});
            const auto to = writable(out);
            py::gil_scoped_release release;
            std::vector<double> packed(p.points());
            p.pack(from, packed);
            p.project(packed, to, threads);
            return out;
          },
          "mass"_a.noconvert(), "threads"_a, "Masses of the bins, time by time.")
      .def(
          "adjoint",
          [](const BinnedProjections& p, const Array& bins, int threads) {
            const auto b = view(bins);
            Array out = allocate({static_cast<py::ssize_t>(p.points())});
            const auto to = writable(out);
            py::gil_scoped_release release;
            std::vector<double> packed(p.points());
            p.adjoint(b, packed, threads);
            p.unpack(packed, to);
            return out;
          },
          "bins"_a.noconvert(), "threads"_a, "The adjoint of project.");

  py::class_<DescentStage>(m, "DescentStage", "How one descent ended.")
      .def_property_readonly("status",
                             [](const DescentStage& s) { return std::string(name(s.status)); })
      .def_readonly("restarts", &DescentStage::restarts)
      .def_readonly("misfit", &DescentStage::misfit)
      .def_readonly("divergence", &DescentStage::divergence)
      .def_readonly("objective", &DescentStage::objective);
  py::class_<MirrorDescent>(m, "MirrorDescent", "Accelerated mirror descent, warm started.")
      .def(py::init([](const BinnedProjections& projections, const Array& reference,
                       const Array& data, const Array& weights) {
             return MirrorDescent(projections, view(reference), view(data), view(weights));
           }),
           "projections"_a, "reference"_a.noconvert(), "data"_a.noconvert(),
           "weights"_a.noconvert())
      .def(
          "solve",
          [](MirrorDescent& descent, double lambda, double tolerance, int max_iterations,
             int threads, py::object callback) {
            Watch watch(std::move(callback));
            DescentStage stage;
            {
              py::gil_scoped_release release;
              stage = descent.solve(lambda, {max_iterations, tolerance, threads}, watch.progress());
            }
            watch.rethrow();
            return stage;
          },
          "regularization"_a, "tolerance"_a, "max_iterations"_a, "threads"_a, "callback"_a,
          "Descends from the present theta, which is the best seen even if it is interrupted.")
      .def(
          "misfit",
          [](const MirrorDescent& descent, const Array& mass, int threads) {
            const auto at = view(mass);
            Array out = allocate({static_cast<py::ssize_t>(mass.size())});
            const auto gradient = writable(out);
            double value = 0;
            {
              py::gil_scoped_release release;
              value = descent.misfit(at, gradient, threads);
            }
            return std::pair(value, out);
          },
          "mass"_a.noconvert(), "threads"_a, "The data term and its gradient.")
      .def(
          "mass",
          [](const MirrorDescent& descent, int threads) {
            Array out = allocate({static_cast<py::ssize_t>(descent.projections().points())});
            const auto to = writable(out);
            py::gil_scoped_release release;
            descent.mass(to, threads);
            return out;
          },
          "threads"_a, "Masses at the present theta, flat.")
      .def_property(
          "theta",
          [](const MirrorDescent& descent) {
            const auto theta = descent.theta();
            Array out = allocate({static_cast<py::ssize_t>(theta.size())});
            std::copy(theta.begin(), theta.end(), out.mutable_data());
            return out;
          },
          [](MirrorDescent& descent, const Array& theta) { descent.set_theta(view(theta)); },
          "One number a bin: the masses are reference * exp(adjoint(theta)).");
}

}  // namespace recouple::bindings
