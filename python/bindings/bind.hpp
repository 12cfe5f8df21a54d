// What every binding shares: array types that never convert, and views of them.
//
// A binding is five lines: views of the inputs, allocate the output, release the GIL, call C++,
// return. Shapes, dtypes and contiguity are settled in Python; a wrong one is refused here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <exception>
#include <initializer_list>
#include <span>
#include <vector>

#include "recouple/parallel.hpp"

namespace recouple::bindings {

namespace py = pybind11;
using namespace pybind11::literals;

using Array = py::array_t<double, py::array::c_style>;

inline std::span<const double> view(const Array& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}
inline std::span<double> writable(Array& a) {
  return {a.mutable_data(), static_cast<std::size_t>(a.size())};
}

// A fresh array; but for small ones aligned to 64 bytes, so that other libraries can adopt it
// without a copy.
py::object allocate_aligned(const py::dtype& type, std::span<const py::ssize_t> shape);
template <class T = double>
py::array_t<T, py::array::c_style> allocate(std::span<const py::ssize_t> shape) {
  static const auto* const type = new py::dtype(py::dtype::of<T>());  // outlives the interpreter
  return py::reinterpret_steal<py::array_t<T, py::array::c_style>>(
      allocate_aligned(*type, shape).release());
}
inline Array allocate(std::initializer_list<py::ssize_t> shape) {
  return allocate<double>(std::span(shape.begin(), shape.size()));
}
inline Array allocate_like(const Array& a) {
  return allocate<double>(std::span(a.shape(), static_cast<std::size_t>(a.ndim())));
}

// Long work's line to Python: at most every 50 ms it takes the GIL, lets Ctrl-C through and calls
// the user's callback(done, total), if any. An exception stops the work; rethrow() raises it.
class Watch {
 public:
  explicit Watch(py::object callback)
      : callback_(std::move(callback)),
        told_(!callback_.is_none()),
        last_(told_ ? Clock::time_point() : Clock::now()) {}
  Progress progress() {
    return [this](std::size_t done, std::size_t total) { return poll(done, total); };
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool poll(std::size_t done, std::size_t total) {
    if (error_) return false;
    const auto now = Clock::now();
    const bool end = told_ && done >= total;  // is always told
    if (!end && now - last_ < std::chrono::milliseconds(50)) return true;
    last_ = now;
    py::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (told_) callback_(done, total);
    } catch (...) {
      error_ = std::current_exception();
    }
    return !error_;
  }

  py::object callback_;
  bool told_;
  Clock::time_point last_;
  std::exception_ptr error_;
};

void bind_field(py::module_& m);
void bind_flow(py::module_& m);
void bind_interpolant(py::module_& m);
void bind_inverse(py::module_& m);
void bind_inverse_descent(py::module_& m);
void bind_inverse_mixture(py::module_& m);
void bind_marginal(py::module_& m);
void bind_network(py::module_& m);
void bind_numeric(py::module_& m);
void bind_parallel(py::module_& m);
void bind_plan(py::module_& m);
void bind_sort(py::module_& m);
void bind_theory(py::module_& m);
void bind_wasserstein(py::module_& m);
void bind_quantile(py::module_& m);

}  // namespace recouple::bindings
