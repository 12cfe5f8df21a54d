#include <cmath>
#include <mutex>
#include <optional>
#include <string>

#include "bind_marginal.hpp"

namespace recouple::bindings {
namespace {

constexpr const char* curve_names[] = {"pdf", "logpdf", "cdf", "logcdf",
                                       "sf",  "logsf",  "ppf", "isf"};

// A law written in Python: evaluate(name of the curve, x) -> values, called with the GIL on the
// caller's thread with the whole batch.
class PythonMarginal {
 public:
  PythonMarginal(py::function evaluate, double mean, double std, Support support)
      : shared_(std::make_shared<Shared>()), mean_(mean), std_(std), support_(support) {
    shared_->evaluate = std::move(evaluate);
  }

  void evaluate(Curve curve, std::span<const double> in, std::span<double> out) const noexcept {
    const py::gil_scoped_acquire gil;
    try {
      Array x(static_cast<py::ssize_t>(in.size()), in.data());
      const py::object result = shared_->evaluate(curve_names[static_cast<int>(curve)], x);
      const auto values =
          py::cast<py::array_t<double, py::array::c_style | py::array::forcecast>>(result);
      if (static_cast<std::size_t>(values.size()) != out.size()) {
        throw std::invalid_argument(std::string(curve_names[static_cast<int>(curve)]) +
                                    " must return one value per point, got " +
                                    std::to_string(values.size()) + " for " +
                                    std::to_string(out.size()));
      }
      std::copy_n(values.data(), out.size(), out.data());
    } catch (...) {
      const std::scoped_lock lock(shared_->mutex);
      if (!shared_->error) shared_->error = std::current_exception();
      std::fill(out.begin(), out.end(), std::nan(""));
    }
  }
  double mean() const noexcept { return mean_; }
  double std() const noexcept { return std_; }
  Support support() const noexcept { return support_; }
  double cost_ns(Curve) const noexcept { return 100; }

  std::exception_ptr error() const noexcept {
    const std::scoped_lock lock(shared_->mutex);
    return std::exchange(shared_->error, nullptr);
  }

 private:
  struct Shared {
    py::function evaluate;
    std::mutex mutex;
    std::exception_ptr error;
    ~Shared() {
      const py::gil_scoped_acquire gil;
      evaluate.release().dec_ref();
      error = nullptr;
    }
  };
  std::shared_ptr<Shared> shared_;
  double mean_, std_;
  Support support_;
};

void rethrow(const AnyMarginal& law) {
  if (const auto error = law.error()) std::rethrow_exception(error);
}

}  // namespace

Curve curve_of(const std::string& name) {
  for (std::size_t i = 0; i < std::size(curve_names); ++i) {
    if (name == curve_names[i]) return static_cast<Curve>(i);
  }
  throw std::invalid_argument(
      "curve must be pdf, logpdf, cdf, logcdf, sf, logsf, ppf or isf, got '" + name + "'");
}

namespace {

constexpr double worth_releasing_ns =
    20e3;  // below this, giving up the GIL costs more than it saves

Array evaluate_array(const AnyMarginal& law, Curve curve, const Array& in, int threads) {
  Array out = allocate_like(in);
  {
    const auto x = view(in);
    const auto y = writable(out);
    std::optional<py::gil_scoped_release> release;
    if (law.cost_ns(curve) * static_cast<double>(x.size()) > worth_releasing_ns) release.emplace();
    evaluate_checked(law, curve, x, y, threads);
  }
  rethrow(law);
  return out;
}

double evaluate_number(const AnyMarginal& law, Curve curve, double x) {
  check(curve, {&x, 1});
  double y;
  law.evaluate(curve, {&x, 1}, {&y, 1});
  rethrow(law);
  return y;
}

// A float gives a float and a float64 array in C order an array; None says that the value, or the
// number of threads, is not of these kinds yet. Settled here, not in Python, for the sake of calls
// on a few points.
py::object evaluate_given(const AnyMarginal& law, Curve curve, const py::object& value,
                          const py::object& num_threads) {
  int threads = 0;
  if (!num_threads.is_none()) {
    if (!PyLong_CheckExact(num_threads.ptr())) return py::none();
    const long n = PyLong_AsLong(num_threads.ptr());
    if (n == -1) PyErr_Clear();
    if (n < 1 || n > most_threads) return py::none();
    threads = static_cast<int>(n);
  }
  if (PyFloat_Check(value.ptr())) {
    return py::float_(evaluate_number(law, curve, PyFloat_AS_DOUBLE(value.ptr())));
  }
  if (!py::isinstance<Array>(value)) return py::none();
  if ((py::detail::array_proxy(value.ptr())->flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_) ==
      0) {
    return py::none();
  }
  const auto array = py::reinterpret_borrow<Array>(value);
  if (array.ndim() == 0) return py::float_(evaluate_number(law, curve, *array.data()));
  return evaluate_array(law, curve, array, threads);
}

Array copied(std::span<const double> values) {
  Array out = allocate({static_cast<py::ssize_t>(values.size())});
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

}  // namespace

void bind_marginal(py::module_& m) {
  py::class_<AnyMarginal> law(m, "Marginal", "A law on the line, of any kind.");
  for (const Curve curve : {Curve::pdf, Curve::logpdf, Curve::cdf, Curve::logcdf, Curve::sf,
                            Curve::logsf, Curve::ppf, Curve::isf}) {
    const char* name = curve_names[static_cast<int>(curve)];
    law.def(
        name,
        [curve](const AnyMarginal& self, const py::object& x, const py::object& num_threads) {
          return evaluate_given(self, curve, x, num_threads);
        },
        py::arg("x"), py::arg("num_threads") = py::none(),
        "At a float or at each point of a float64 array in C order; None for anything else.");
  }
  law.def("mean", &AnyMarginal::mean, "Mean.");
  law.def("std", &AnyMarginal::std, "Standard deviation.");
  law.def(
      "support",
      [](const AnyMarginal& self) { return std::pair(self.support().lower, self.support().upper); },
      "The least interval that holds the law.");
  law.def(
      "mixture_iterations",
      [](const AnyMarginal& self, const Array& u) {
        const auto* mixture = self.as<NormalMixture>();
        if (mixture == nullptr) throw std::invalid_argument("law must be a NormalMixture");
        std::vector<double> x(static_cast<std::size_t>(u.size()));
        return mixture->invert(false, view(u), x);
      },
      py::arg("u").noconvert(), "Most iterations that any of these quantiles takes.");
  law.def(
      "mixture",
      [](const AnyMarginal& self) {
        const auto* mixture = self.as<NormalMixture>();
        if (mixture == nullptr) throw std::invalid_argument("law must be a NormalMixture");
        return std::tuple(copied(mixture->weights()), copied(mixture->means()),
                          copied(mixture->stds()));
      },
      "Weights, means and standard deviations of a mixture.");
  law.def(
      "atoms",
      [](const AnyMarginal& self) {
        const auto* atoms = self.as<Empirical>();
        if (atoms == nullptr) throw std::invalid_argument("law must be Empirical");
        return std::pair(copied(atoms->values()), copied(atoms->weights()));
      },
      "Sorted values and weights of an empirical law; no weights if they are equal.");

  m.def(
      "normal", [](double mean, double std) { return AnyMarginal(Normal(mean, std)); },
      py::arg("mean"), py::arg("std"), "A normal law.");
  m.def(
      "normal_mixture",
      [](const Array& weights, const Array& means, const Array& stds) {
        return AnyMarginal(NormalMixture(view(weights), view(means), view(stds)));
      },
      py::arg("weights").noconvert(), py::arg("means").noconvert(), py::arg("stds").noconvert(),
      "A mixture of normal laws.");
  m.def(
      "empirical",
      [](const Array& values, const Array& weights) {
        return AnyMarginal(Empirical(view(values), view(weights)));
      },
      py::arg("values").noconvert(), py::arg("weights").noconvert(),
      "Atoms; no weights stand for equal ones.");
  m.def(
      "python_marginal",
      [](py::function evaluate, double mean, double std, double lower, double upper) {
        return AnyMarginal(PythonMarginal(std::move(evaluate), mean, std, {lower, upper}));
      },
      py::arg("evaluate"), py::arg("mean"), py::arg("std"), py::arg("lower"), py::arg("upper"),
      "A law whose evaluate(name, x) is written in Python.");
  m.def(
      "histogram",
      [](const Array& edges, const Array& mass) {
        return AnyMarginal(Histogram(view(edges), view(mass)));
      },
      py::arg("edges").noconvert(), py::arg("mass").noconvert(), "Mass spread evenly over bins.");
  m.def(
      "histogram_bins",
      [](const AnyMarginal& of) {
        const auto* bins = of.as<Histogram>();
        if (bins == nullptr) throw std::invalid_argument("law must be a histogram");
        return std::pair(copied(bins->edges()), copied(bins->mass()));
      },
      py::arg("law"), "Edges and masses.");
  m.def(
      "affine",
      [](const AnyMarginal& of, double shift, double scale) {
        return AnyMarginal(Affine(of, shift, scale));
      },
      py::arg("law"), py::arg("shift"), py::arg("scale"), "The law of shift + scale X.");
  m.def(
      "truncated",
      [](const AnyMarginal& of, double lower, double upper) {
        return AnyMarginal(Truncated(of, lower, upper));
      },
      py::arg("law"), py::arg("lower"), py::arg("upper"), "The law given lower <= X <= upper.");
  m.def(
      "moments", [](const AnyMarginal& of) { return moments(of); }, py::arg("law"),
      "Mean and standard deviation, from the quantiles.");
}

}  // namespace recouple::bindings
