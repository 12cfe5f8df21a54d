// Cholesky factorisation of dense symmetric positive definite matrices, for the Newton solvers.
#pragma once

#include <cstddef>
#include <span>

namespace recouple {

// Overwrites the lower triangle of the row-major n x n matrix `a` by L with a = L L'; the strict
// upper triangle is not read and ends as scratch. Returns false, with `a` in pieces, if a pivot is
// not positive. n^3 / 3 multiply-adds; the result does not depend on the thread count.
bool cholesky(std::span<double> a, std::size_t n, int threads = 0);

// Solves L L' x = b in place, given the factor left by cholesky().
void cholesky_solve(std::span<const double> l, std::size_t n, std::span<double> b);

}  // namespace recouple
