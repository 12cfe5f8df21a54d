// NumPy's own sort, which knows the best instructions of this machine, lent to the core.
//
// It is the function behind np.sort, called without the GIL. NumPy does not promise that this
// works, so it is tried here first on numbers whose order is known; if it fails, or NumPy has no
// such function any more, the core keeps its own sort.
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bind.hpp"
#include "recouple/sort.hpp"

namespace recouple::bindings {
namespace {

PyArray_SortFunc* numpy_doubles = nullptr;
PyArray_SortFunc* numpy_floats = nullptr;

void sort_doubles(double* values, std::size_t n) noexcept {
  numpy_doubles(values, static_cast<npy_intp>(n), nullptr);
}
void sort_floats(float* values, std::size_t n) noexcept {
  numpy_floats(values, static_cast<npy_intp>(n), nullptr);
}

// The C sort of a NumPy type, or null. Its descriptor is kept alive for good.
PyArray_SortFunc* numpy_sort(int type) {
  PyArray_Descr* descr = PyArray_DescrFromType(type);
  if (descr == nullptr) throw py::error_already_set();
  return PyDataType_GetArrFuncs(descr)->sort[NPY_QUICKSORT];
}

template <class T>
bool sorts(SortFunction<T> function) {
  for (const std::size_t n : {1u, 2u, 7u, 64u, 257u, 5000u}) {
    std::vector<T> values(n);
    std::uint64_t state = 1;
    for (T& x : values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      x = static_cast<T>(static_cast<std::int64_t>(state)) / T(1e9);
    }
    std::vector<T> expected = values;
    std::sort(expected.begin(), expected.end());
    {
      py::gil_scoped_release release;
      function(values.data(), n);
    }
    if (values != expected) return false;
  }
  return true;
}

bool lend_numpy_sort() {
  if (_import_array() < 0) {
    PyErr_Clear();
    return false;
  }
  numpy_doubles = numpy_sort(NPY_DOUBLE);
  numpy_floats = numpy_sort(NPY_FLOAT);
  if (numpy_doubles == nullptr || numpy_floats == nullptr) return false;
  if (!sorts<double>(&sort_doubles) || !sorts<float>(&sort_floats)) return false;
  set_sort({"numpy", &sort_doubles, &sort_floats});
  return true;
}

}  // namespace

void bind_sort(py::module_& m) {
  lend_numpy_sort();
  m.def(
      "sort_backend", [] { return std::string(current_sort().name); }, "Name of the sort in use.");
  m.def(
      "use_sort",
      [](const std::string& name) {
        if (name == "own") {
          set_sort(own_sort());
        } else if (name != "numpy" || !lend_numpy_sort()) {
          throw std::invalid_argument("name must be \"numpy\" (where it works) or \"own\", got " +
                                      name);
        }
      },
      py::arg("name"), "Choose the sort: \"numpy\" or \"own\".");
}

}  // namespace recouple::bindings
