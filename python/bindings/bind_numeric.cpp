#include <string>

#include "bind.hpp"
#include "recouple/numeric.hpp"

namespace recouple::bindings {

void bind_numeric(py::module_& m) {
  using Map = void (*)(std::span<const double>, std::span<double>) noexcept;
  const auto def = [&](const char* name, Map f, const char* doc) {
    m.def((std::string("numeric_") + name).c_str(),
          [f](const Array& x) {
            Array y = allocate_like(x);
            f(view(x), writable(y));
            return y;
          },
          py::arg("x").noconvert(), doc);
  };
  def("exp", &numeric::exp, "exp(x).");
  def("log", &numeric::log, "log(x).");
  def("erf", &numeric::erf, "erf(x).");
  def("erfc", &numeric::erfc, "erfc(x).");
  def("erfcx", &numeric::erfcx, "exp(x^2) erfc(x).");
  def("normal_cdf", &numeric::normal_cdf, "Phi(x).");
  def("normal_quantile", &numeric::normal_quantile, "Phi^-1(u).");
}

}  // namespace recouple::bindings
