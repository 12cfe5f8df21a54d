#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/network.hpp"
#include "network_panels.hpp"
#include "recouple/network.hpp"

namespace recouple {
namespace {

constexpr double explosion = 1e8;  // times the first loss: training has diverged

// A hash of counters in place of a generator's state (Steele, Lea & Flood 2014, SplitMix64).
std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}
double uniform(std::uint64_t key, std::uint64_t row) noexcept {
  return (double(mix(key ^ mix(row)) >> 11) + 0.5) * 0x1p-53;
}

void shuffle(std::span<std::uint32_t> order, std::uint64_t key) noexcept {
  std::uint64_t bits = 0;
  for (std::size_t i = order.size(); i > 1; --i, bits >>= 32) {
    if (i % 2 == 0 || bits == 0) bits = mix(key + i);                 // enough for two
    std::swap(order[i - 1], order[((bits & 0xffffffff) * i) >> 32]);  // bias i / 2^32
  }
}

// Takes the lowest bit that is set; there must be one.
std::size_t take_bit(std::atomic<std::uint32_t>& bits) noexcept {
  std::uint32_t now = bits.load();
  while (!bits.compare_exchange_weak(now, now & (now - 1))) {
  }
  return static_cast<std::size_t>(std::countr_zero(now));
}

// Inputs z = (X_t, c t, b) and targets dX_t / dt of some rows; `known` is the dimension, 0: any.
template <class T, std::size_t known>
void place_rows(std::size_t d, std::span<const std::uint32_t> rows, const double* times,
                const double* x0, const double* x1, const Interpolant& interpolant,
                double time_scale, T bias, T* z, T* target) noexcept {
  const std::size_t dim = known == 0 ? d : known;
  const bool linear = interpolant == Interpolant::linear;
  for (const std::uint32_t row : rows) {
    const double t = *times++;
    const Coefficients c = linear ? Coefficients{1 - t, t, -1, 1} : interpolant(t);
    const double *a = x0 + row * dim, *b = x1 + row * dim;
    for (std::size_t j = 0; j < dim; ++j) {
      z[j] = static_cast<T>(c.a * a[j] + c.b * b[j]);
      target[j] = static_cast<T>(c.da * a[j] + c.db * b[j]);
    }
    z[dim] = static_cast<T>(time_scale * t);
    z[dim + 1] = bias;
    z += dim + 2;
    target += dim;
  }
}

// Tasks of one step: enough for many threads, each long enough to be worth one.
std::size_t chunk_count(std::size_t rows, double work) noexcept {
  const auto wanted = static_cast<std::size_t>(work / 4e6);
  return std::max<std::size_t>(1, std::min({wanted, std::size_t{16}, rows / 128}));
}

}  // namespace

template <class T>
struct Trainer<T>::Lines {
  explicit Lines(NetworkShape of) : shape(std::move(of)) {}
  NetworkShape shape;
  Panels<T> weights, last, across, first, second, gradients;  // weights: hidden, then heads
  struct Desk {                                               // what a task works on
    Panels<T> scratch, z, target, out;
  };
  std::vector<Desk> desks;
  std::atomic<bool> busy = false;

  // Hidden weights and heads, or what is kept for each of them, as panels and neuron by neuron.
  void pack(const NetworkWeights& from, Panels<T>& to) const {
    const std::size_t rows = from.width * from.dim;
    shape.pack_hidden(from.hidden, to.data());
    for (std::size_t k = 0; k < from.head_count(); ++k) {
      shape.pack_head(std::span(from.heads).subspan(k * rows, rows),
                      to.data() + shape.hidden_size() + k * shape.head_size());
    }
  }
  void unpack(const Panels<T>& from, NetworkWeights& to) const {
    const std::size_t rows = to.width * to.dim;
    shape.unpack(from.data(), shape.inputs, std::span(to.hidden));
    for (std::size_t k = 0; k < to.head_count(); ++k) {
      shape.unpack(from.data() + shape.hidden_size() + k * shape.head_size(), to.dim,
                   std::span(to.heads).subspan(k * rows, rows));
    }
  }
};

// A trainer's memory is one: a second thread that would use it at the same time is turned away.
template <class T>
class Trainer<T>::Turn {
 public:
  explicit Turn(Lines& lines) : lines_(lines) {
    if (lines_.busy.exchange(true)) {
      throw std::runtime_error("train: this trainer is at work");
    }
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { lines_.busy.store(false); }

 private:
  Lines& lines_;
};

template <class T>
struct Trainer<T>::Rows {
  std::span<const double> t, x0, x1;
};

template <class T>
Trainer<T>::Trainer(const NetworkWeights& start, TrainOptions options)
    : start_(start), options_(std::move(options)) {
  validate(start_);
  const bool grouped = !options_.train_heads && kernels<NetworkKernels<T>>().groups;
  lines_ =
      std::make_shared<Lines>(NetworkShape(start_, grouped ? SignGroups(start_) : SignGroups()));
  const NetworkShape& shape = lines_->shape;
  panels_ = shape.panels;
  inputs_ = shape.inputs;
  padded_ = shape.padded;
  hidden_size_ = shape.hidden_size();
  head_size_ = shape.head_size();
  const std::size_t heads = start_.head_count(), size = hidden_size_ + heads * head_size_;
  lines_->weights = Panels<T>(size);
  lines_->last = Panels<T>(size);
  lines_->across = Panels<T>(heads * shape.across_size());
  const bool moving = options_.optimiser == TrainOptions::Optimiser::adam || options_.momentum != 0;
  if (moving) lines_->first = Panels<T>(size);
  if (options_.optimiser == TrainOptions::Optimiser::adam) lines_->second = Panels<T>(size);
  T* w = lines_->weights.data();
  lines_->pack(start_, lines_->weights);
  for (std::size_t k = 0; k < heads; ++k) {
    shape.transpose(w + hidden_size_ + k * head_size_,
                    lines_->across.data() + k * shape.across_size());
  }
}

template <class T>
std::size_t Trainer<T>::row_count(const Rows& rows, bool redraw) const {
  const std::size_t n = rows.x0.size() / start_.dim;
  if (n == 0 || rows.x0.size() != n * start_.dim) {
    throw std::invalid_argument("train: x0 must hold rows of " + std::to_string(start_.dim) +
                                " numbers, got " + std::to_string(rows.x0.size()) + " numbers");
  }
  if (rows.x1.size() != rows.x0.size()) {
    throw std::invalid_argument("train: x1 must be of the size of x0, " +
                                std::to_string(rows.x0.size()) + ", got " +
                                std::to_string(rows.x1.size()));
  }
  if (rows.t.size() != n && !(redraw && rows.t.empty())) {
    throw std::invalid_argument("train: t must hold a time for each of " + std::to_string(n) +
                                " rows, got " + std::to_string(rows.t.size()));
  }
  return n;
}

template <class T>
double Trainer<T>::accumulate(const Rows& rows, std::span<const std::uint32_t> order, bool redraw,
                              T* gradient) const {
  const NetworkShape& shape = lines_->shape;
  const std::size_t d = start_.dim, n = order.size(), heads = start_.head_count();
  const std::size_t size = hidden_size_ + heads * head_size_;
  const std::size_t learnt = options_.train_heads ? size : hidden_size_;
  const double work = double(n) * double(panels_ * network_panel) * double(4 * d + 4);
  const std::size_t chunks = chunk_count(n, work);
  const std::size_t length = (n + chunks - 1) / chunks;
  const std::uint64_t key = mix(options_.seed ^ mix(epoch_ + 1));
  const T* weights = lines_->weights.data();
  NetworkView<T> shared = shape.view<T>(weights, start_);
  std::vector<double> losses(chunks, 0.0);

  // One region a step: on a busy machine only long steps gain, so short ones need to be asked for.
  const double ns = work / 70;
  const double least = options_.threads > 0 ? serial_cutoff_ns : repeated_region_cutoff_ns;
  const int threads = ns < least ? 1 : threads_for(ns, options_.threads);

  // All memory is had before the region, where nothing may throw: a desk for each thread.
  lines_->desks.resize(std::min(chunks, static_cast<std::size_t>(threads)));
  for (auto& desk : lines_->desks) {
    desk.scratch.fit(network_scratch(panels_, inputs_, padded_));
    desk.z.fit(network_tile * inputs_);
    desk.target.fit(network_tile * d);
    desk.out.fit(network_tile * d);
  }
  std::atomic<std::uint32_t> desks_free = (1u << lines_->desks.size()) - 1;
  std::vector<std::uint32_t> sorted, head_of_row, ends;  // rows by their heads, in each task
  if (heads > 1) {
    sorted.resize(n);
    head_of_row.resize(n);
    ends.resize(chunks * (heads + 1));
  }

  parallel_for(chunks, threads, [&](std::size_t chunk) noexcept {
    const std::size_t place = take_bit(desks_free);
    auto& [scratch, z, target, out] = lines_->desks[place];
    const std::size_t begin = std::min(n, chunk * length), end = std::min(n, begin + length);
    T* sum = gradient == nullptr ? nullptr : gradient + chunk * size;
    if (sum != nullptr) std::fill(sum, sum + learnt, T{});

    const auto head_of = [&](std::uint32_t row) noexcept -> std::size_t {
      if (redraw) return static_cast<std::size_t>(uniform(key, row) * double(heads));
      const auto above = std::lower_bound(start_.times.begin(), start_.times.end(), rows.t[row]);
      auto k = std::min<std::size_t>(std::size_t(above - start_.times.begin()), heads - 1);
      if (k > 0 && rows.t[row] - start_.times[k - 1] < start_.times[k] - rows.t[row]) --k;
      return k;
    };
    std::span<const std::uint32_t> mine = order.subspan(begin, end - begin);
    const auto head_ends = std::span(ends).subspan(heads > 1 ? chunk * (heads + 1) : 0);
    if (heads > 1) {  // a tile shares its head
      for (std::size_t i = begin; i < end; ++i) {
        head_of_row[i] = static_cast<std::uint32_t>(head_of(order[i]));
        ++head_ends[head_of_row[i] + 1];
      }
      for (std::size_t k = 1; k < heads; ++k) head_ends[k] += head_ends[k - 1];  // begins
      const auto part = std::span(sorted).subspan(begin, end - begin);
      for (std::size_t i = begin; i < end; ++i) part[head_ends[head_of_row[i]]++] = order[i];
      mine = part;
    }
    double loss = 0;
    for (std::size_t first = 0, head = 0; first < mine.size();) {
      const std::size_t last = heads > 1 ? head_ends[head] : mine.size();
      if (first == last) {
        ++head;
        continue;
      }
      const std::size_t count = std::min(network_tile, last - first);
      NetworkView<T> net = shared;
      net.heads = weights + hidden_size_ + head * head_size_;
      net.across = lines_->across.data() + head * shape.across_size();
      double times[network_tile];
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t row = mine[first + i];
        times[i] = heads > 1              ? start_.times[head]
                   : !redraw              ? rows.t[row]
                   : start_.times.empty() ? uniform(key, row)
                                          : start_.times[0];
      }
      const auto fill = [&]<std::size_t known>() noexcept {
        place_rows<T, known>(d, mine.subspan(first, count), times, rows.x0.data(), rows.x1.data(),
                             options_.interpolant, start_.time_scale, net.bias, z.data(),
                             target.data());
      };
      switch (d) {
        case 1:
          fill.template operator()<1>();
          break;
        case 2:
          fill.template operator()<2>();
          break;
        case 3:
          fill.template operator()<3>();
          break;
        default:
          fill.template operator()<0>();
      }
      for (std::size_t i = first + count; i < std::min(first + 2 * count, mine.size()); ++i) {
        __builtin_prefetch(&rows.x0[mine[i] * d]);  // the next rows, which lie anywhere
        __builtin_prefetch(&rows.x1[mine[i] * d]);
        if (!rows.t.empty()) __builtin_prefetch(&rows.t[mine[i]]);
      }
      const auto& table = kernels<NetworkKernels<T>>();
      if (sum != nullptr) {
        T* head_sum = options_.train_heads ? sum + hidden_size_ + head * head_size_ : nullptr;
        loss += table.gradient(net, count, z.data(), target.data(), sum, head_sum, scratch.data());
      } else {
        table.forward(net, count, z.data(), out.data(), scratch.data());
        for (std::size_t i = 0; i < count * d; ++i) {
          const double r = double(out.data()[i]) - double(target.data()[i]);
          loss += r * r;
        }
      }
      first += count;
    }
    losses[chunk] = loss;
    desks_free.fetch_or(1u << place);
  });
  if (gradient != nullptr) {
    for (std::size_t chunk = 1; chunk < chunks; ++chunk) {
      const T* from = gradient + chunk * size;
      for (std::size_t i = 0; i < learnt; ++i) gradient[i] += from[i];
    }
  }
  return std::accumulate(losses.begin(), losses.end(), 0.0) / double(n);
}

template <class T>
typename Trainer<T>::End Trainer<T>::run(std::span<const double> t, std::span<const double> x0,
                                         std::span<const double> x1, std::size_t epochs,
                                         std::span<double> losses, const Progress& progress) {
  const Turn turn(*lines_);
  const NetworkShape& shape = lines_->shape;
  const Rows rows{t, x0, x1};
  const std::size_t n = row_count(rows, options_.redraw_times), heads = start_.head_count();
  if (losses.size() < epochs) {
    throw std::invalid_argument("train: losses must have room for " + std::to_string(epochs) +
                                " epochs, got " + std::to_string(losses.size()));
  }
  const std::size_t batch = options_.batch == 0 ? n : std::min(options_.batch, n);
  const std::size_t size = hidden_size_ + heads * head_size_;
  const std::size_t learnt = options_.train_heads ? size : hidden_size_;
  lines_->gradients.fit(size * chunk_count(batch, double(batch) * double(panels_ * network_panel) *
                                                      double(4 * start_.dim + 4)));
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  T *w = lines_->weights.data(), *g = lines_->gradients.data();
  const double scale = 1 / std::sqrt(double(start_.width));
  const auto& table = kernels<NetworkKernels<T>>();
  const auto take = [&](const Panels<T>& weights) {
    std::copy_n(weights.data(), learnt, w);
    for (std::size_t k = 0; k < heads; ++k) {
      shape.transpose(w + hidden_size_ + k * head_size_,
                      lines_->across.data() + k * shape.across_size());
    }
  };
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    if (progress && !progress(epoch, epochs)) return End::stopped;
    if (batch < n) {
      std::iota(order.begin(), order.end(), 0u);
      shuffle(order, mix(options_.seed + 1) ^ mix(epoch_ + 1));
    }
    struct Begin {  // of the epoch: an interruption within it goes back there
      Panels<T> weights, last, first, second;
      std::size_t step;
      double first_loss;
    };
    std::optional<Begin> begin;
    if (progress && batch < n) {
      begin =
          Begin{lines_->weights, lines_->last, lines_->first, lines_->second, step_, first_loss_};
    }
    double total = 0;
    for (std::size_t first = 0; first < n; first += batch) {
      if (first > 0 && progress && !progress(epoch, epochs)) {
        take(begin->weights);
        lines_->last = std::move(begin->last);
        lines_->first = std::move(begin->first);
        lines_->second = std::move(begin->second);
        step_ = begin->step;
        first_loss_ = begin->first_loss;
        return End::stopped;
      }
      const std::size_t count = std::min(batch, n - first);
      const double loss =
          accumulate(rows, std::span(order).subspan(first, count), options_.redraw_times, g);
      if (first_loss_ < 0 && std::isfinite(loss)) first_loss_ = loss;
      if (!std::isfinite(loss) || loss > explosion * std::max(first_loss_, 1e-30)) {
        if (step_ > 0) take(lines_->last);
        losses[epoch] = std::numeric_limits<double>::quiet_NaN();
        return End::diverged;
      }
      T* last = lines_->last.data();
      const T factor = static_cast<T>(2 * scale / double(count)), rate = T(options_.rate);
      ++step_;
      if (options_.optimiser == TrainOptions::Optimiser::adam) {
        const double k = double(step_);
        table.adam(learnt, w, last, g, lines_->first.data(), lines_->second.data(), factor,
                   T(options_.beta1), T(options_.beta2), T(1 / (1 - std::pow(options_.beta1, k))),
                   T(1 / (1 - std::pow(options_.beta2, k))), T(options_.epsilon), rate);
      } else {
        table.descend(learnt, w, last, g, lines_->first.data(), factor, T(options_.momentum), rate);
      }
      if (options_.train_heads) {
        for (std::size_t k = 0; k < heads; ++k) {
          shape.transpose(w + hidden_size_ + k * head_size_,
                          lines_->across.data() + k * shape.across_size());
        }
      }
      total += loss * double(count);
    }
    ++epoch_;
    losses[epoch] = total / double(n);
  }
  if (!std::all_of(w, w + learnt, [](T v) { return std::isfinite(v); })) {
    take(lines_->last);
    return End::diverged;
  }
  if (progress && !progress(epochs, epochs)) return End::stopped;
  return End::finished;
}

template <class T>
double Trainer<T>::loss(std::span<const double> t, std::span<const double> x0,
                        std::span<const double> x1, std::vector<double>* hidden,
                        std::vector<double>* heads) const {
  const Turn turn(*lines_);
  const NetworkShape& shape = lines_->shape;
  const Rows rows{t, x0, x1};
  const std::size_t n = row_count(rows, false), count = start_.head_count();
  const std::size_t size = hidden_size_ + count * head_size_;
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  if (hidden == nullptr) return accumulate(rows, order, false, nullptr);
  Panels<T> gradient(size * chunk_count(n, double(n) * double(panels_ * network_panel) *
                                               double(4 * start_.dim + 4)));
  const double loss = accumulate(rows, order, false, gradient.data());
  const double factor = 2 / std::sqrt(double(start_.width)) / double(n);
  hidden->assign(start_.hidden.size(), 0.0);
  shape.unpack(gradient.data(), inputs_, std::span(*hidden));
  for (double& value : *hidden) value *= factor;
  if (heads != nullptr) {
    heads->assign(start_.heads.size(), 0.0);
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t rows_of = start_.width * start_.dim;
      shape.unpack(gradient.data() + hidden_size_ + k * head_size_, start_.dim,
                   std::span(*heads).subspan(k * rows_of, rows_of));
    }
    for (double& value : *heads) value *= factor;
  }
  return loss;
}

template <class T>
NetworkWeights Trainer<T>::weights() const {
  const Turn turn(*lines_);
  NetworkWeights out = start_;
  lines_->unpack(lines_->weights, out);
  return out;
}

template <class T>
std::vector<double> Trainer<T>::state() const {
  const Turn turn(*lines_);
  std::vector<double> state{double(step_), double(epoch_), first_loss_};
  NetworkWeights neurons = start_;  // in their own order, not that of this machine's panels
  for (const Panels<T>* part : {&lines_->last, &lines_->first, &lines_->second}) {
    if (part->size() == 0) continue;
    lines_->unpack(*part, neurons);
    state.insert(state.end(), neurons.hidden.begin(), neurons.hidden.end());
    state.insert(state.end(), neurons.heads.begin(), neurons.heads.end());
  }
  return state;
}

template <class T>
void Trainer<T>::restore(std::span<const double> state) {
  const Turn turn(*lines_);
  NetworkWeights neurons = start_;
  const std::size_t hidden = neurons.hidden.size(), heads = neurons.heads.size();
  std::size_t parts = 0;
  for (const Panels<T>* part : {&lines_->last, &lines_->first, &lines_->second}) {
    if (part->size() > 0) ++parts;
  }
  if (state.size() != 3 + parts * (hidden + heads)) {
    throw std::invalid_argument("resume: the state is of another network or optimiser");
  }
  step_ = static_cast<std::size_t>(state[0]);
  epoch_ = static_cast<std::size_t>(state[1]);
  first_loss_ = state[2];
  state = state.subspan(3);
  for (Panels<T>* part : {&lines_->last, &lines_->first, &lines_->second}) {
    if (part->size() == 0) continue;
    std::copy_n(state.begin(), hidden, neurons.hidden.begin());
    std::copy_n(state.begin() + std::ptrdiff_t(hidden), heads, neurons.heads.begin());
    lines_->pack(neurons, *part);
    state = state.subspan(hidden + heads);
  }
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace recouple
