#include "bind.hpp"
#include "recouple/inverse.hpp"

namespace recouple::bindings {
namespace {

Array to_array(std::span<const double> values) {
  Array out = allocate({static_cast<py::ssize_t>(values.size())});
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

}  // namespace

void bind_inverse(py::module_& m) {
  py::class_<SplineFeatures>(m, "SplineFeatures", "B-splines of a X0 + b X1 at one time.")
      .def(py::init<double, double, double, double, std::size_t>(), "a"_a, "b"_a, "first"_a,
           "spacing"_a, "intervals"_a)
      .def_readonly("a", &SplineFeatures::a)
      .def_readonly("b", &SplineFeatures::b)
      .def_readonly("first", &SplineFeatures::first)
      .def_readonly("spacing", &SplineFeatures::spacing)
      .def_readonly("intervals", &SplineFeatures::intervals);
  m.def(
      "moment_abscissae",
      [](const SplineFeatures& s, int nodes) { return to_array(moment_abscissae(s, nodes)); },
      "features"_a, "nodes"_a, "Where a cdf must be known for its spline moments.");
  m.def(
      "spline_moments_of_cdf",
      [](const SplineFeatures& s, int degree, int nodes, const Array& cdf) {
        return to_array(spline_moments_of_cdf(s, degree, nodes, view(cdf)));
      },
      "features"_a, "degree"_a, "nodes"_a, "cdf"_a.noconvert(), "Spline moments of a cdf.");
  m.def(
      "spline_moments_of_samples",
      [](const SplineFeatures& s, int degree, const Array& samples, const Array& weights) {
        const auto moments = spline_moments_of_samples(s, degree, view(samples), view(weights));
        return std::pair(to_array(moments.mean), to_array(moments.variance));
      },
      "features"_a, "degree"_a, "samples"_a.noconvert(), "weights"_a.noconvert(),
      "Sample means of the splines, and the variances of those means.");

  py::class_<DualStage>(m, "DualStage", "How one solve of the dual ended.")
      .def_property_readonly("status",
                             [](const DualStage& s) { return std::string(name(s.status)); })
      .def_readonly("iterations", &DualStage::iterations)
      .def_readonly("residual", &DualStage::residual)
      .def_readonly("divergence", &DualStage::divergence);
  py::class_<EntropicDual>(m, "EntropicDual", "The entropic dual on one grid, warm started.")
      .def(py::init([](const Array& x0, const Array& x1, const Array& reference,
                       std::vector<SplineFeatures> features, int degree) {
             const auto a = view(x0), b = view(x1), r = view(reference);
             py::gil_scoped_release release;
             return EntropicDual(a, b, r, std::move(features), degree);
           }),
           "x0"_a.noconvert(), "x1"_a.noconvert(), "reference"_a.noconvert(), "features"_a,
           "degree"_a)
      .def(py::init([](const Array& reference, const Array& features) {
             const auto r = view(reference), f = view(features);
             py::gil_scoped_release release;
             return EntropicDual(r, f);
           }),
           "reference"_a.noconvert(), "features"_a.noconvert())
      .def_property_readonly("size", &EntropicDual::size)
      .def(
          "solve",
          [](EntropicDual& dual, const Array& moments, const Array& penalty, double decrement,
             int max_iterations, int threads, py::object callback) {
            Watch watch(std::move(callback));
            const auto g = view(moments), l = view(penalty);
            DualStage stage{};
            {
              py::gil_scoped_release release;
              stage = dual.solve(g, l, {max_iterations, decrement, threads}, watch.progress());
            }
            watch.rethrow();
            return stage;
          },
          "moments"_a.noconvert(), "penalty"_a.noconvert(), "decrement"_a, "max_iterations"_a,
          "threads"_a, "callback"_a)
      .def_property_readonly("theta", [](const EntropicDual& d) { return to_array(d.theta()); })
      .def(
          "set_theta",
          [](EntropicDual& dual, const Array& theta, int threads) {
            const auto values = view(theta);
            py::gil_scoped_release release;
            dual.set_theta(values, threads);
          },
          "theta"_a.noconvert(), "threads"_a)
      .def(
          "set_common",
          [](EntropicDual& dual, const Array& rows) {
            const auto values = view(rows);
            py::gil_scoped_release release;
            dual.set_common(values);
          },
          "rows"_a.noconvert(), "Rows U of the penalty diag(lambda) + U'U.")
      .def("mass", [](const EntropicDual& d) { return to_array(d.mass()); })
      .def(
          "moments",
          [](const EntropicDual& dual, int threads) {
            std::vector<double> moments;
            {
              py::gil_scoped_release release;
              moments = dual.moments(threads);
            }
            return to_array(moments);
          },
          "threads"_a)
      .def(
          "uncertainty",
          [](const EntropicDual& dual, const Array& functionals, const Array& penalty,
             const Array& noise_variance, int threads) {
            const auto f = view(functionals), l = view(penalty), s = view(noise_variance);
            std::vector<EntropicDual::Uncertainty> rows;
            {
              py::gil_scoped_release release;
              rows = dual.uncertainty(f, l, s, threads);
            }
            const auto count = static_cast<py::ssize_t>(rows.size());
            Array out = allocate({count, 4});
            Array sensitivity = allocate({count, static_cast<py::ssize_t>(dual.size())});
            double *at = out.mutable_data(), *to = sensitivity.mutable_data();
            for (const auto& r : rows) {
              *at++ = r.mean, *at++ = r.standard_error, *at++ = r.resolved, *at++ = r.variance;
              to = std::copy(r.sensitivity.begin(), r.sensitivity.end(), to);
            }
            return std::pair(out, sensitivity);
          },
          "functionals"_a.noconvert(), "penalty"_a.noconvert(), "noise_variance"_a.noconvert(),
          "threads"_a,
          "Rows (mean, standard error, resolved fraction, variance), and d mean / d moments.")
      .def(
          "responses",
          [](const EntropicDual& dual, const Array& changes, const Array& penalty, int threads) {
            const auto c = view(changes), l = view(penalty);
            std::vector<double> rows;
            {
              py::gil_scoped_release release;
              rows = dual.responses(c, l, threads);
            }
            return to_array(rows);
          },
          "changes"_a.noconvert(), "penalty"_a.noconvert(), "threads"_a,
          "d theta / d moments applied to rows of changes of the moments, flat.");
}

}  // namespace recouple::bindings
