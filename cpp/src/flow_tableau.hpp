// The Runge-Kutta methods as numbers.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/flow.hpp"
#include "recouple/flow.hpp"

namespace recouple {

struct Weight {
  std::size_t stage;
  double value;
};
using Row = std::vector<Weight>;  // without the zeros

// Stage j is k_j = v(t + c_j h, x + h sum_i a_ji k_i). Row `stages` of a is the new point y, and
// k_stages = v(t + h, y) is the first stage of the next step; rows beyond serve dense output alone.
struct Tableau {
  int order;
  std::size_t stages;
  std::vector<double> c;
  std::vector<Row> a;
  std::vector<Row> error;  // weights of the error estimate; two for dop853
  // Dense output is cubic Hermite interpolation plus a bump that leaves both ends alone: with
  // r = 1 - s and f_i = h sum_j bump_ij k_j,
  //   x(t + s h) = Hermite + s^2 r^2 (f_0 + s (f_1 + r (f_2 + s f_3))).
  std::vector<Row> bump;

  bool adaptive() const noexcept { return !error.empty(); }
  std::size_t rates() const noexcept { return a.size(); }  // stages kept at once
  std::size_t extra() const noexcept { return a.size() - stages - 1; }

  // The same as a polynomial, filled in by tableau():
  //   x(t + s h) = x + h sum_p s^(p+1) sum_j polynomial[p][j] k_j.
  std::vector<Row> polynomial = {};
};

// The sum of a row over the stages, each read from its element `offset` on, as the kernels take it.
Terms terms(const Row& row, const std::vector<double*>& k, std::size_t offset = 0) noexcept;

const Tableau& tableau(Method method) noexcept;

}  // namespace recouple
