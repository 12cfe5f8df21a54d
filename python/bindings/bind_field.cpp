#include "bind_field.hpp"

#include "recouple/field_change.hpp"
#include "recouple/field_dataset.hpp"
#include "recouple/field_grid.hpp"
#include "recouple/field_mixture.hpp"
#include "recouple/parallel.hpp"

namespace recouple::bindings {

namespace {

py::array points(std::span<const double> x, std::size_t dim) {
  std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(x.size() / dim)};
  if (dim > 1) shape.push_back(static_cast<py::ssize_t>(dim));
  Array out = allocate<double>(shape);
  std::copy(x.begin(), x.end(), out.mutable_data());
  return out;
}

// The values, and once more the last `many` of them.
std::vector<double> repeated(std::span<const double> x, std::size_t many) {
  std::vector<double> out(x.begin(), x.end());
  out.insert(out.end(), x.end() - static_cast<std::ptrdiff_t>(many), x.end());
  return out;
}

// Raises the failure to broadcast that a batch of times met in R^D again, with what it may be.
std::exception_ptr explained(py::error_already_set& raised) {
  const std::string what = raised.what();
  if (!raised.matches(PyExc_ValueError) || what.find("broadcast") == what.npos) {
    return std::current_exception();
  }
  const std::string first = what.substr(0, what.find('\n'));
  py::raise_from(raised, PyExc_ValueError,
                 ("field must take t of shape (n,) beside x of shape (n, D), as in t[:, None] * x, "
                  "or be made a field by as_field(f, D, times=\"scalar\"); it raised " +
                  first)
                     .c_str());
  return std::make_exception_ptr(py::error_already_set());
}

}  // namespace

CallableField::CallableField(py::function function, std::size_t dim)
    : state_(new State{std::move(function), nullptr},
             [](State* s) {
               py::gil_scoped_acquire gil;
               delete s;
             }),
      dim_(dim) {}

void CallableField::call(std::span<const double> t, bool one, std::span<const double> x,
                         std::span<double> v) const noexcept {
  py::gil_scoped_acquire gil;
  const bool batch = !one && dim_ > 1;
  try {
    if (!state_->error) {
      // D times beside D points of R^D: t * x would multiply coordinates by times, and nothing show
      // it. One more of each does.
      const bool square = batch && t.size() == dim_;
      const py::array at = square ? points(repeated(x, dim_), dim_) : points(x, dim_);
      const py::object time = one      ? py::object(py::float_(t[0]))
                              : square ? points(repeated(t, 1), 1)
                                       : points(t, 1);
      const py::object result = state_->function(time, at);
      const Array values = result.cast<Array>();
      if (values.size() != at.size() || values.ndim() != at.ndim()) {
        throw py::value_error("field must return an array of shape " +
                              py::str(at.attr("shape")).cast<std::string>() + " like x, got " +
                              py::str(values.attr("shape")).cast<std::string>());
      }
      std::copy_n(values.data(), v.size(), v.begin());
      return;
    }
  } catch (py::error_already_set& raised) {
    state_->error = batch ? explained(raised) : std::current_exception();
  } catch (...) {
    state_->error = std::current_exception();
  }
  std::fill(v.begin(), v.end(), std::numeric_limits<double>::quiet_NaN());
}

void CallableField::operator()(double t, std::span<const double> x,
                               std::span<double> v) const noexcept {
  call({&t, 1}, true, x, v);
}

void CallableField::operator()(std::span<const double> t, std::span<const double> x,
                               std::span<double> v) const noexcept {
  call(t, false, x, v);
}

void CallableField::rethrow() const {
  if (!state_->error) return;
  const std::exception_ptr error = std::exchange(state_->error, nullptr);
  std::rethrow_exception(error);
}

void Field::rethrow() const {
  if (callable) callable->rethrow();
}

namespace {

// body(first, count) over blocks fixed by the problem's size, so that threads change no bit.
template <class Body>
void in_blocks(const AnyField& field, std::size_t n, int threads, const Body& body) {
  const std::size_t block = field.foreign() ? n : 1024;
  if (n == 0) return;
  parallel_for((n + block - 1) / block,
               field.foreign() ? 1 : threads_for(double(n) * field.cost_ns(), threads),
               [&](std::size_t i) noexcept { body(i * block, std::min(block, n - i * block)); });
}

void evaluate(const AnyField& field, std::span<const double> t, std::span<const double> x,
              std::span<double> v, int threads) {
  const std::size_t d = field.dim();
  in_blocks(field, x.size() / d, threads, [&](std::size_t first, std::size_t count) noexcept {
    const auto xs = x.subspan(first * d, count * d);
    const auto vs = v.subspan(first * d, count * d);
    if (t.size() == 1) {
      field(t[0], xs, vs);
    } else {
      field(t.subspan(first, count), xs, vs);
    }
  });
}

void require_differentiable(const AnyField& field) {
  if (!field.differentiable()) {
    throw std::invalid_argument("field must be native to have derivatives, got a callable");
  }
}

}  // namespace

void bind_field(py::module_& m) {
  py::class_<Field>(m, "Field", "A velocity field, native or a Python callable.")
      .def_property_readonly("dim", [](const Field& f) { return f.any.dim(); })
      .def_property_readonly("native", [](const Field& f) { return !f.any.foreign(); })
      .def(
          "__call__",
          [](const Field& f, double t, const Array& x, int threads) {
            Array v = allocate_like(x);
            const auto xs = view(x);
            const auto vs = writable(v);
            {
              py::gil_scoped_release release;
              evaluate(f.any, {&t, 1}, xs, vs, threads);
            }
            f.rethrow();
            return v;
          },
          "t"_a.noconvert(), "x"_a.noconvert(), "threads"_a = 0)
      .def(
          "__call__",
          [](const Field& f, const Array& t, const Array& x, int threads) {
            Array v = allocate_like(x);
            const auto ts = view(t), xs = view(x);
            const auto vs = writable(v);
            {
              py::gil_scoped_release release;
              evaluate(f.any, ts, xs, vs, threads);
            }
            f.rethrow();
            return v;
          },
          "t"_a.noconvert(), "x"_a.noconvert(), "threads"_a = 0)
      .def_property_readonly("differentiable",
                             [](const Field& f) { return f.any.differentiable(); })
      .def(
          "divergence",
          [](const Field& f, double t, const Array& x, int threads) {
            require_differentiable(f.any);
            const std::size_t d = f.any.dim(), n = static_cast<std::size_t>(x.size()) / d;
            Array v = allocate_like(x), div = allocate({static_cast<py::ssize_t>(n)});
            const auto xs = view(x);
            const auto vs = writable(v), divs = writable(div);
            {
              py::gil_scoped_release release;
              in_blocks(f.any, n, threads, [&](std::size_t first, std::size_t count) noexcept {
                f.any.divergence(t, xs.subspan(first * d, count * d),
                                 vs.subspan(first * d, count * d), divs.subspan(first, count));
              });
            }
            return py::make_tuple(v, div);
          },
          "t"_a, "x"_a.noconvert(), "threads"_a = 0, "Velocity and divergence at one time.")
      .def(
          "jacobian",
          [](const Field& f, double t, const Array& x, int threads) {
            require_differentiable(f.any);
            const std::size_t d = f.any.dim(), n = static_cast<std::size_t>(x.size()) / d;
            const auto side = static_cast<py::ssize_t>(d);
            Array jac = allocate({static_cast<py::ssize_t>(n), side, side});
            const auto xs = view(x);
            const auto out = writable(jac);
            {
              py::gil_scoped_release release;
              in_blocks(f.any, n, threads, [&](std::size_t first, std::size_t count) noexcept {
                f.any.jacobian(t, xs.subspan(first * d, count * d),
                               out.subspan(first * d * d, count * d * d));
              });
            }
            return jac;
          },
          "t"_a, "x"_a.noconvert(), "threads"_a = 0, "Jacobian at one time, (n, D, D).");
  m.def(
      "mixture_local",
      [](const MixturePlan& plan, const Interpolant& interpolant, double t, const Array& x) {
        const auto n = x.shape(0), d = static_cast<py::ssize_t>(plan.dim);
        Array log_density = allocate({n}), score = allocate({n, d}), cov = allocate({n, d, d});
        const auto xs = view(x);
        const auto p = writable(log_density), s = writable(score), c = writable(cov);
        {
          py::gil_scoped_release release;
          MixtureFieldND(plan, interpolant).local(t, xs, p, s, c);
        }
        return py::make_tuple(log_density, score, cov);
      },
      "plan"_a, "interpolant"_a, "t"_a, "x"_a.noconvert(),
      "Log density and score of X_t, and the covariance of dX_t/dt given X_t.");
  m.def(
      "grid_plan_local",
      [](const GridDensity& density, const Interpolant& interpolant, double t, const Array& x) {
        Array score = allocate_like(x), variance = allocate_like(x);
        const auto xs = view(x);
        const auto s = writable(score), c = writable(variance);
        {
          py::gil_scoped_release release;
          grid_plan_local(density, interpolant, t, xs, s, c);
        }
        return py::make_tuple(score, variance);
      },
      "density"_a, "interpolant"_a, "t"_a, "x"_a.noconvert(),
      "Score of X_t and variance of dX_t/dt given X_t of a grid plan.");
  m.def(
      "dataset_field",
      [](const DatasetPlan& plan, const Interpolant& i) {
        return Field{velocity_field(plan, i), {}};
      },
      "plan"_a, "interpolant"_a, "Closed-form field of a data set.");
  m.def(
      "dataset_covariance",
      [](const DatasetPlan& plan, const Interpolant& interpolant, double t, const Array& x) {
        const auto n = x.shape(0), d = static_cast<py::ssize_t>(plan.dim);
        Array cov = allocate({n, d, d});
        const auto xs = view(x);
        const auto out = writable(cov);
        py::gil_scoped_release release;
        DatasetField(plan, interpolant).covariance(t, xs, out);
        return cov;
      },
      "plan"_a, "interpolant"_a, "t"_a, "x"_a.noconvert(), "Covariance of X1 given X_t.");
  m.def(
      "reversed_time",
      [](const Field& f) {
        return Field{reversed_time(f.any), f.callable};
      },
      "field"_a, "-v(1 - t, x).");
  m.def(
      "change_interpolant",
      [](const Field& f, const Interpolant& from, const Interpolant& to) {
        return Field{change_interpolant(f.any, from, to), f.callable};
      },
      "field"_a, "from_"_a, "to"_a, "The field of the same plan under another interpolant.");
  m.def(
      "grid_field",
      [](const Array& t, const Array& x, const Array& v, bool monotone, bool linear) {
        return Field{GridField(view(t), view(x), view(v), monotone,
                               linear ? Extrapolation::linear : Extrapolation::constant),
                     {}};
      },
      "t"_a.noconvert(), "x"_a.noconvert(), "v"_a.noconvert(), "monotone"_a, "linear"_a,
      "Field by cubic interpolation on a grid of (t, x).");
  m.def(
      "grid_plan_density",
      [](const GridDensity& density, const Interpolant& interpolant, double t, const Array& x) {
        Array p = allocate_like(x);
        const auto xs = view(x);
        const auto ps = writable(p);
        py::gil_scoped_release release;
        grid_plan_density(density, interpolant, t, xs, ps);
        return p;
      },
      "density"_a, "interpolant"_a, "t"_a, "x"_a.noconvert(), "Density of X_t of a grid plan.");
  m.def(
      "mixture_field",
      [](const MixturePlan& plan, const Interpolant& i) {
        return Field{velocity_field(plan, i), {}};
      },
      "plan"_a, "interpolant"_a, "Closed-form field of a mixture plan.");
  m.def(
      "grid_plan_field",
      [](const GridPlan& plan, const Interpolant& i) {
        return Field{velocity_field(plan, i), {}};
      },
      "plan"_a, "interpolant"_a, "Field of a grid plan.");
  m.def(
      "callable_field",
      [](py::function function, std::size_t dim) {
        const CallableField field(std::move(function), dim);
        return Field{field, field};
      },
      "function"_a, "dim"_a, "A Python callable v(t, x) as a field.");
}

}  // namespace recouple::bindings
