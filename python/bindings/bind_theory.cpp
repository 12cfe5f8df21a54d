#include "bind.hpp"
#include "recouple/theory.hpp"

namespace recouple::bindings {

void bind_theory(py::module_& m) {
  m.def(
      "ntk_gram",
      [](const Array& z, bool outputs, int threads) {
        if (z.ndim() != 2) throw std::invalid_argument("ntk_gram: z must have two dimensions");
        Array gram({z.shape(0), z.shape(0)});  // NumPy puts large arrays on huge pages
        const auto zs = view(z);
        const auto out = writable(gram);
        py::gil_scoped_release release;
        ntk_gram(zs, static_cast<std::size_t>(z.shape(1)), outputs, out, threads);
        return gram;
      },
      "z"_a.noconvert(), "outputs"_a, "threads"_a = 0, "Tangent kernel of infinite width.");
}

}  // namespace recouple::bindings
