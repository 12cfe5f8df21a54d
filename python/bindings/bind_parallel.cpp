#include "bind.hpp"
#include "recouple/parallel.hpp"
#include "recouple/simd.hpp"

namespace recouple::bindings {

void bind_parallel(py::module_& m) {
  m.def("default_threads", &default_threads, "Threads used when a call does not say.");
  m.def("in_forked_child", &in_forked_child, "True in a child of fork, where all runs serially.");
  m.def("openmp_runtime", &openmp_runtime, "Name of the OpenMP runtime of this build.");
  m.def(
      "simd_level", [] { return std::string(name(simd_level())); },
      "Instruction set chosen when the library was loaded.");
  m.def(
      "compiler",
      [] {
#if defined(__clang__)
        return "clang " __clang_version__;
#elif defined(__GNUC__)
        return "gcc " __VERSION__;
#else
        return "unknown";
#endif
      },
      "Compiler of this build.");
}

}  // namespace recouple::bindings
