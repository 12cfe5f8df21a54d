// The extension module: one bind_<room> per room, and nothing else.
#include <cstdint>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "bind.hpp"

namespace recouple::bindings {
namespace {

// As NumPy does for its own arrays: fresh memory of this size costs more in page faults than in
// arithmetic. Advice only; where it is not taken nothing changes.
void prefer_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  constexpr std::size_t page = 4096, worth = std::size_t{1} << 22;
  if (bytes < worth) return;
  const auto first = (reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page;
  const auto last = (reinterpret_cast<std::uintptr_t>(data) + bytes) / page * page;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

py::object allocate_aligned(const py::dtype& type, std::span<const py::ssize_t> shape) {
  auto bytes = static_cast<std::size_t>(type.itemsize());
  for (const auto n : shape) bytes *= static_cast<std::size_t>(n);
  static const auto& numpy = py::detail::npy_api::get();
  const auto wrap = [&](void* data, int flags) {
    // NumPy works the strides out itself; pybind11's constructors would build them on the heap.
    auto array = py::reinterpret_steal<py::object>(numpy.PyArray_NewFromDescr_(
        numpy.PyArray_Type_, type.inc_ref().ptr(), static_cast<int>(shape.size()), shape.data(),
        nullptr, data, flags, nullptr));
    if (!array) throw py::error_already_set();
    return array;
  };
  // A few numbers are copied in no time, and NumPy keeps such memory ready.
  constexpr std::size_t small = 1024;
  if (bytes <= small) return wrap(nullptr, 0);
  void* data = ::operator new (bytes > 0 ? bytes : 1, std::align_val_t{64});
  prefer_huge_pages(data, bytes);
  const py::capsule owner(data, [](void* p) { ::operator delete (p, std::align_val_t{64}); });
  auto array = wrap(data, py::detail::npy_api::NPY_ARRAY_WRITEABLE_);
  if (numpy.PyArray_SetBaseObject_(array.ptr(), owner.inc_ref().ptr()) < 0) {
    throw py::error_already_set();
  }
  return array;
}

}  // namespace recouple::bindings

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  namespace b = recouple::bindings;
  m.doc() = "Compiled core of recouple. Internal: the public names live in the package.";
  m.attr("__version__") = RECOUPLE_VERSION;
  b::bind_marginal(m);
  b::bind_numeric(m);
  b::bind_parallel(m);
  b::bind_interpolant(m);
  b::bind_plan(m);
  b::bind_quantile(m);
  b::bind_field(m);
  b::bind_inverse(m);
  b::bind_inverse_descent(m);
  b::bind_inverse_mixture(m);
  b::bind_network(m);
  b::bind_sort(m);
  b::bind_theory(m);
  b::bind_wasserstein(m);
  b::bind_flow(m);
}
