#include <algorithm>
#include <cmath>
#include <memory>

#include "bind_field.hpp"
#include "recouple/flow.hpp"

namespace recouple::bindings {
namespace {

using Counts = py::array_t<std::int32_t, py::array::c_style>;

std::span<std::int32_t> counts(Counts& a) {
  return {a.mutable_data(), static_cast<std::size_t>(a.size())};
}

void require_finite(const Array& x, std::size_t dim) {
  const double* bad =
      std::find_if_not(x.data(), x.data() + x.size(), [](double v) { return std::isfinite(v); });
  if (bad == x.data() + x.size()) return;
  throw py::value_error("x0 must be finite, got " + std::to_string(*bad) + " at point " +
                        std::to_string(static_cast<std::size_t>(bad - x.data()) / dim));
}

// The exception of the field's callable, or None; anything else that was thrown goes on.
py::object error_of(const Field& field) {
  try {
    field.rethrow();
  } catch (py::error_already_set& error) {
    return py::reinterpret_borrow<py::object>(error.value());
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return py::reinterpret_borrow<py::object>(py::error_already_set().value());
  }
  return py::none();
}

Array as_array(const std::vector<double>& values) {
  Array out = allocate({static_cast<py::ssize_t>(values.size())});
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

std::vector<double> as_vector(const py::handle& array) {
  const auto values = array.cast<Array>();
  return {values.data(), values.data() + values.size()};
}

using Shape = std::vector<py::ssize_t>;

Shape operator+(Shape a, const Shape& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

template <class T>
py::object sealed(py::array_t<T, py::array::c_style>& array) {
  py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return std::move(array);
}

// x has one row per point, or, on the line, may be an array of numbers of any shape.
py::tuple integrate_points(const Field& field, const Array& x, double t0, double t1,
                           const py::object& t_eval, FlowOptions options, bool dense,
                           const py::object& progress) {
  const std::size_t dim = field.any.dim(), points = static_cast<std::size_t>(x.size()) / dim;
  const auto d = static_cast<py::ssize_t>(dim);
  require_finite(x, dim);
  const bool rows = dim > 1 || x.ndim() == 2;
  const Shape place(x.shape(), x.shape() + x.ndim());
  const Shape point(place.begin(), place.end() - (rows ? 1 : 0));
  const bool carries = options.carried != Carried::nothing, asked = !t_eval.is_none();
  const Shape along =
      point + (options.carried == Carried::jacobian && rows ? Shape{d, d} : Shape{});
  const Array times = asked ? t_eval.cast<Array>() : Array();
  const Shape each = asked ? Shape{times.size()} : Shape{};

  Array end = allocate<double>(place), reached = allocate<double>(point);
  Array carried, x_eval, carried_eval;
  if (carries) carried = allocate<double>(along);
  if (asked) x_eval = allocate<double>(each + place);
  if (asked && carries) carried_eval = allocate<double>(each + along);
  auto steps = allocate<std::int32_t>(point), rejected = allocate<std::int32_t>(point),
       evaluations = allocate<std::int32_t>(point);
  auto status = allocate<std::uint8_t>(point);
  static_assert(sizeof(FlowStatus) == 1);
  Watch watch(progress);
  options.progress = watch.progress();
  std::unique_ptr<DenseFlow> all = dense ? std::make_unique<DenseFlow>() : nullptr;
  const std::span<double> nothing;
  const FlowView out{writable(end),
                     carries ? writable(carried) : nothing,
                     writable(reached),
                     {reinterpret_cast<FlowStatus*>(status.mutable_data()), points},
                     counts(steps),
                     counts(rejected),
                     counts(evaluations),
                     asked ? writable(x_eval) : nothing,
                     asked && carries ? writable(carried_eval) : nothing};
  const auto xs = view(x);
  const auto ts = asked ? view(times) : std::span<const double>();
  {
    py::gil_scoped_release release;
    integrate(field.any, xs, t0, t1, ts, options, out, all.get());
  }
  watch.rethrow();
  const bool ok = std::all_of(out.status.begin(), out.status.end(),
                              [](FlowStatus s) { return s == FlowStatus::ok; });
  const auto if_any = [](bool wanted, Array& array) {
    return wanted ? sealed(array) : py::object(py::none());
  };
  return py::make_tuple(sealed(end), if_any(carries, carried), sealed(reached), sealed(status),
                        sealed(steps), sealed(rejected), sealed(evaluations), if_any(asked, x_eval),
                        if_any(asked && carries, carried_eval), std::move(all), ok,
                        error_of(field));
}

}  // namespace

void bind_flow(py::module_& m) {
  py::enum_<Method>(m, "Method", "A way to solve dx/dt = v(t, x).")
      .value("euler", Method::euler)
      .value("midpoint", Method::midpoint)
      .value("heun", Method::heun)
      .value("rk4", Method::rk4)
      .value("bosh3", Method::bosh3)
      .value("dopri5", Method::dopri5)
      .value("tsit5", Method::tsit5)
      .value("dop853", Method::dop853);
  py::enum_<Carried>(m, "Carried", "What points carry along.")
      .value("nothing", Carried::nothing)
      .value("log_det", Carried::log_det)
      .value("jacobian", Carried::jacobian);
  py::class_<DenseFlow>(m, "DenseFlow", "Trajectories as piecewise polynomials.")
      .def(
          "__call__",
          [](const DenseFlow& flow, const Array& t, int threads) {
            Array x = allocate({t.size(), static_cast<py::ssize_t>(flow.first.size() - 1),
                                static_cast<py::ssize_t>(flow.dim)});
            const auto ts = view(t);
            const auto xs = writable(x);
            py::gil_scoped_release release;
            flow(ts, xs, threads);
            return x;
          },
          "t"_a.noconvert(), "threads"_a = 0)
      .def(py::pickle(
          [](const DenseFlow& f) {
            return py::make_tuple(f.dim, f.degree, f.t0, f.t1, f.first, as_array(f.start),
                                  as_array(f.h), as_array(f.coefficients));
          },
          [](const py::tuple& s) {
            return DenseFlow{s[0].cast<std::size_t>(),
                             s[1].cast<std::size_t>(),
                             s[2].cast<double>(),
                             s[3].cast<double>(),
                             s[4].cast<std::vector<std::size_t>>(),
                             as_vector(s[5]),
                             as_vector(s[6]),
                             as_vector(s[7])};
          }));
  m.def(
      "integrate",
      [](const Field& field, const Array& x, double t0, double t1, const py::object& t_eval,
         Method method, double rtol, double atol, std::size_t max_steps, std::size_t steps,
         Carried carried, double difference, bool hutchinson, std::uint64_t seed,
         const py::object& poles, bool dense, int threads, const py::object& progress) {
        return integrate_points(field, x, t0, t1, t_eval,
                                {method,
                                 rtol,
                                 atol,
                                 max_steps,
                                 steps,
                                 poles.is_none() ? std::vector<double>() : as_vector(poles),
                                 carried,
                                 {difference, hutchinson, seed},
                                 threads,
                                 {}},
                                dense, progress);
      },
      "field"_a, "x"_a.noconvert(), "t0"_a, "t1"_a, "t_eval"_a, "method"_a, "rtol"_a, "atol"_a,
      "max_steps"_a, "steps"_a, "carried"_a, "difference"_a, "hutchinson"_a, "seed"_a, "poles"_a,
      "dense"_a, "threads"_a, "progress"_a,
      "Ends, carried, times, status, steps, rejected, evaluations, points and carried at t_eval, "
      "dense output, whether all is well, the field's exception.");
  m.def(
      "crossings",
      [](const Array& x0, const Array& x, const Array& slack) {
        py::array_t<bool> crossed(x0.size());
        find_crossings(view(x0), view(x), view(slack),
                       {crossed.mutable_data(), static_cast<std::size_t>(crossed.size())});
        return crossed;
      },
      "x0"_a.noconvert(), "x"_a.noconvert(), "slack"_a.noconvert(),
      "Which points changed their order.");
}

}  // namespace recouple::bindings
