// A project of its own that embeds recouple: a field type of the user's, and the library's rooms.
#include <cmath>
#include <cstdio>
#include <vector>

#include "recouple/field.hpp"
#include "recouple/flow.hpp"
#include "recouple/plan.hpp"

namespace {

struct Decay {  // dx/dt = -x
  std::size_t dim() const noexcept { return 1; }
  void operator()(double, std::span<const double> x, std::span<double> v) const noexcept {
    for (std::size_t i = 0; i < x.size(); ++i) v[i] = -x[i];
  }
};

}  // namespace

int main() {
  const std::vector<double> x0{1.0, -2.0};
  const recouple::Flow flow = recouple::integrate(recouple::AnyField(Decay{}), x0, 0.0, 1.0);
  std::printf("decay %.6f %.6f\n", flow.x[0], flow.x[1]);

  const auto plan = recouple::make_mixture_plan(std::vector{1.0}, std::vector{0.0, 1.0},
                                                std::vector{1.0, 0.5, 0.5, 2.0});
  const recouple::AnyField field = recouple::velocity_field(plan);
  double v = 0;
  field(0.0, {x0.data(), 1}, {&v, 1});
  std::printf("velocity %.6f\n", v);
  return std::abs(flow.x[0] - std::exp(-1.0)) < 1e-5 && v == 0.5 ? 0 : 1;
}
