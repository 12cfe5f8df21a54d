#include "bind_field.hpp"
#include "recouple/flow.hpp"

namespace recouple::bindings {
namespace {

using Counts = py::array_t<std::int32_t, py::array::c_style>;

std::span<std::int32_t> writable(Counts& a) {
  return {a.mutable_data(), static_cast<std::size_t>(a.size())};
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
  m.def(
      "integrate",
      [](const Field& field, const Array& x, double t0, double t1, const Array& t_eval,
         Method method, double rtol, double atol, std::size_t max_steps, std::size_t steps,
         int threads, py::object progress) {
        const auto n =
            static_cast<py::ssize_t>(static_cast<std::size_t>(x.size()) / field.any.dim());
        Array end = allocate_like(x), time = allocate({n});
        Counts taken(n), rejected(n), evaluations(n);
        py::array_t<std::uint8_t> status(n);
        std::vector<py::ssize_t> shape{x.shape(), x.shape() + x.ndim()};
        shape.insert(shape.begin(), t_eval.size());
        Array at = allocate(shape);
        Watch watch(std::move(progress));
        FlowOptions options{method, rtol, atol, max_steps, steps, threads, watch.progress()};
        static_assert(sizeof(FlowStatus) == 1);
        const FlowView out{
            writable(end),
            writable(time),
            {reinterpret_cast<FlowStatus*>(status.mutable_data()), static_cast<std::size_t>(n)},
            writable(taken),
            writable(rejected),
            writable(evaluations),
            writable(at)};
        const auto xs = view(x), ts = view(t_eval);
        {
          py::gil_scoped_release release;
          integrate(field.any, xs, t0, t1, ts, options, out);
        }
        watch.rethrow();
        field.rethrow();
        return py::make_tuple(end, time, status, taken, rejected, evaluations, at);
      },
      "field"_a, "x"_a.noconvert(), "t0"_a, "t1"_a, "t_eval"_a.noconvert(), "method"_a, "rtol"_a,
      "atol"_a, "max_steps"_a, "steps"_a, "threads"_a, "progress"_a,
      "Ends, times, status, steps, rejected, evaluations, points at t_eval.");
}

}  // namespace recouple::bindings
