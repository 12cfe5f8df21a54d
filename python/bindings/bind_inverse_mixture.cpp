#include "bind.hpp"
#include "recouple/inverse_mixture.hpp"

namespace recouple::bindings {
namespace {

using Offsets = py::array_t<std::size_t, py::array::c_style>;

// The arguments of every function here: points by time, and the mixture.
struct Fit {
  TimedPoints points;
  MixtureFactors mixture;

  Fit(const Array& times, const Offsets& first, const Array& x, const Array& weights,
      const Array& means, const Array& factors)
      : points{static_cast<std::size_t>(x.shape(1)),
               view(times),
               {first.data(), static_cast<std::size_t>(first.size())},
               view(x)},
        mixture{view(weights), view(means), view(factors)} {}
};

}  // namespace

void bind_inverse_mixture(py::module_& m) {
  m.def(
      "mixture_em_step",
      [](const Array& times, const Offsets& first, const Array& x, const Array& weights,
         const Array& means, const Array& factors, double floor, int threads) {
        const Fit fit(times, first, x, weights, means, factors);
        MixtureUpdate update;
        {
          py::gil_scoped_release release;
          update = mixture_em_step(fit.points, fit.mixture, floor, threads);
        }
        Array w = allocate_like(weights), mu = allocate_like(means), cov = allocate_like(factors);
        std::copy(update.weights.begin(), update.weights.end(), w.mutable_data());
        std::copy(update.means.begin(), update.means.end(), mu.mutable_data());
        std::copy(update.covs.begin(), update.covs.end(), cov.mutable_data());
        return py::make_tuple(w, mu, cov, update.log_likelihood, update.good);
      },
      "times"_a.noconvert(), "first"_a.noconvert(), "x"_a.noconvert(), "weights"_a.noconvert(),
      "means"_a.noconvert(), "factors"_a.noconvert(), "floor"_a, "threads"_a,
      "Weights, means, covariances, log-likelihood before, whether all is well.");
  m.def(
      "mixture_jacobian",
      [](const Array& times, const Offsets& first, const Array& x, const Array& weights,
         const Array& means, const Array& factors, bool derivatives, int threads) {
        const Fit fit(times, first, x, weights, means, factors);
        const auto n = x.shape(0), d = x.shape(1);
        const auto columns = static_cast<py::ssize_t>(
            fit.mixture.size() * mixture_parameters(static_cast<std::size_t>(d)));
        Array v = allocate_like(x), logs = allocate({n});
        Array jacobian = allocate({derivatives ? n * d : 0, columns});
        Array scores = allocate({derivatives ? n : 0, columns});
        {
          const auto a = writable(v), b = writable(logs), c = writable(jacobian),
                     e = writable(scores);
          py::gil_scoped_release release;
          mixture_jacobian(fit.points, fit.mixture, a, b, c, e, threads);
        }
        return py::make_tuple(v, logs, jacobian, scores);
      },
      "times"_a.noconvert(), "first"_a.noconvert(), "x"_a.noconvert(), "weights"_a.noconvert(),
      "means"_a.noconvert(), "factors"_a.noconvert(), "derivatives"_a, "threads"_a,
      "Velocity, log density, and the rows of their derivatives.");
  m.def(
      "mixture_posterior",
      [](const Array& times, const Offsets& first, const Array& x, const Array& weights,
         const Array& means, const Array& factors, int threads) {
        const Fit fit(times, first, x, weights, means, factors);
        Array shares = allocate({x.shape(0), weights.shape(0)});
        Array pulls = allocate({x.shape(0), weights.shape(0), x.shape(1)});
        {
          const auto a = writable(shares), b = writable(pulls);
          py::gil_scoped_release release;
          mixture_posterior(fit.points, fit.mixture, a, b, threads);
        }
        return py::make_tuple(shares, pulls);
      },
      "times"_a.noconvert(), "first"_a.noconvert(), "x"_a.noconvert(), "weights"_a.noconvert(),
      "means"_a.noconvert(), "factors"_a.noconvert(), "threads"_a,
      "Shares of the components at each point, and those times S^-1 (x - m).");
}

}  // namespace recouple::bindings
