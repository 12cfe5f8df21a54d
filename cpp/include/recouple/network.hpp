// Two-layer ReLU networks in the neural-tangent parametrisation, as velocity fields, and their
// training on flow-matching pairs.
//
//   f_j(t, x) = m^(-1/2) sum_r a_rj(t) relu(w_r . z),   z = (x, c t, b)
//
// The heads a are the same at all times, or known at increasing times and linear between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "recouple/interpolant.hpp"
#include "recouple/parallel.hpp"

namespace recouple {

// The weights of a network: hidden (width, dim + 2), heads (max(1, times), width, dim).
struct NetworkWeights {
  std::size_t dim, width;
  double time_scale, bias;    // c, b
  std::vector<double> times;  // of the heads; none: one head for all times
  std::vector<double> hidden, heads;
  std::size_t head_count() const noexcept { return times.empty() ? 1 : times.size(); }
};

// Throws std::invalid_argument on a zero dimension or width, sizes that do not match, times that do
// not increase and entries that are not finite.
void validate(const NetworkWeights& weights);

class ReluNetwork {
 public:
  explicit ReluNetwork(NetworkWeights weights);
  std::size_t dim() const noexcept { return weights_->dim; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void operator()(std::span<const double> t, std::span<const double> x,
                  std::span<double> v) const noexcept;
  // In single precision: half the time of double.
  void operator()(std::span<const double> t, std::span<const float> x,
                  std::span<float> v) const noexcept;
  void divergence(double t, std::span<const double> x, std::span<double> v,
                  std::span<double> div) const noexcept;
  void jacobian(double t, std::span<const double> x, std::span<double> jac) const noexcept;
  double cost_ns() const noexcept;

  const NetworkWeights& weights() const noexcept { return *weights_; }

  // On the line (dim 1): the places where f(t, .) bends, increasing, and its slopes between them,
  // from the left of the first to the right of the last. Both are exact up to rounding.
  void kinks(double t, std::vector<double>& places, std::vector<double>& slopes) const;

  // On the line: an upper bound of the slope of f(t, .) over all x and all t in [t0, t1], exact
  // when t0 = t1, and the lower bound alike. O(m log m). Heads must not vary on [t0, t1].
  struct Slopes {
    double least, most;
  };
  Slopes slopes(double t0, double t1) const;

 private:
  template <class T>
  struct Packed;

  template <class T>
  void evaluate(const Packed<T>& net, std::span<const double> t, std::span<const T> x,
                std::span<T> v) const noexcept;

  std::shared_ptr<const NetworkWeights> weights_;
  std::shared_ptr<const Packed<double>> double_;
  std::shared_ptr<const Packed<float>> single_;
};

struct TrainOptions {
  enum class Optimiser { descent, adam };
  Optimiser optimiser = Optimiser::descent;
  bool train_heads = false;
  double rate = 0.1, momentum = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  std::size_t batch = 0;  // rows a step; 0: all
  bool redraw_times = false;
  std::uint64_t seed = 0;
  Interpolant interpolant = Interpolant::linear;
  int threads = 0;
};

// Minimises mean |f(X_t, t) - dX_t/dt|^2 over pairs, in precision T. Every draw is a function of
// the seed, the epoch and the row, and every sum is taken in an order fixed by the problem, so that
// neither the thread count nor an interruption between epochs changes a bit. One thread at a time:
// a member called while another is at work elsewhere throws std::runtime_error.
template <class T>
class Trainer {
 public:
  Trainer(const NetworkWeights& start, TrainOptions options);
  Trainer(Trainer&&) noexcept = default;
  Trainer& operator=(Trainer&&) noexcept = default;

  enum class End { finished, stopped, diverged };

  // Epochs over rows (t[i], x0[i], x1[i]); a mean loss an epoch goes to `losses`, taken before each
  // step. On divergence (a loss that is not finite, or 10^8 times the first) the weights are those
  // of the last finite loss, and steps() says which step failed. Progress is asked before each
  // batch; stopped within an epoch, the run is as before that epoch. t may be empty where times are
  // redrawn. Throws std::invalid_argument on no rows and sizes that do not match.
  End run(std::span<const double> t, std::span<const double> x0, std::span<const double> x1,
          std::size_t epochs, std::span<double> losses, const Progress& progress);

  // The loss at rows as given, and its gradient in the layout of NetworkWeights if not null.
  double loss(std::span<const double> t, std::span<const double> x0, std::span<const double> x1,
              std::vector<double>* hidden, std::vector<double>* heads) const;

  NetworkWeights weights() const;
  std::size_t steps() const noexcept { return step_; }
  std::size_t epochs() const noexcept { return epoch_; }

  // Everything but the weights that the next step depends on, to be given to restore().
  std::vector<double> state() const;
  void restore(std::span<const double> state);

 private:
  struct Lines;
  struct Rows;
  class Turn;
  std::size_t row_count(const Rows& rows, bool redraw) const;  // checked
  double accumulate(const Rows& rows, std::span<const std::uint32_t> order, bool redraw,
                    T* gradient) const;

  NetworkWeights start_;
  TrainOptions options_;
  std::size_t panels_, inputs_, padded_, hidden_size_, head_size_;
  std::shared_ptr<Lines> lines_;
  std::size_t step_ = 0, epoch_ = 0;
  double first_loss_ = -1;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace recouple
