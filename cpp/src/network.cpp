#include "recouple/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <stdexcept>

#include "kernels/network.hpp"
#include "network_panels.hpp"

namespace recouple {

void validate(const NetworkWeights& w) {
  if (w.dim == 0 || w.width == 0) throw std::invalid_argument("network: dim and width must be > 0");
  if (w.hidden.size() != w.width * (w.dim + 2) ||
      w.heads.size() != w.head_count() * w.width * w.dim) {
    throw std::invalid_argument(
        "network: hidden must be (width, dim + 2), heads (heads, width, dim)");
  }
  for (std::size_t k = 0; k + 1 < w.times.size(); ++k) {
    if (!(w.times[k] < w.times[k + 1])) {
      throw std::invalid_argument("network: times of the heads must increase");
    }
  }
  const auto finite = [](double v) { return std::isfinite(v); };
  if (!std::isfinite(w.time_scale) || !std::isfinite(w.bias) ||
      !std::all_of(w.times.begin(), w.times.end(), finite) ||
      !std::all_of(w.hidden.begin(), w.hidden.end(), finite) ||
      !std::all_of(w.heads.begin(), w.heads.end(), finite)) {
    throw std::invalid_argument("network: weights must be finite");
  }
}

// The weights laid out for the kernels. Heads of several times follow each other.
template <class T>
struct ReluNetwork::Packed {
  explicit Packed(const NetworkWeights& w)
      : shape(w),
        weights(shape.hidden_size()),
        heads(w.head_count() * shape.head_size()),
        across(w.head_count() * shape.across_size()),
        traces(w.head_count() * shape.panels * network_panel),
        wide(shape.across_size()) {
    shape.pack_hidden(w.hidden, weights.data());
    for (std::size_t k = 0; k < w.head_count(); ++k) {
      const auto head = std::span(w.heads).subspan(k * w.width * w.dim, w.width * w.dim);
      shape.pack_head(head, heads.data() + k * shape.head_size());
      shape.transpose(heads.data() + k * shape.head_size(),
                      across.data() + k * shape.across_size());
      for (std::size_t r = 0; r < w.width; ++r) {
        double sum = 0;
        for (std::size_t j = 0; j < w.dim; ++j) {
          sum += head[r * w.dim + j] * w.hidden[r * (w.dim + 2) + j];
        }
        traces.data()[k * shape.panels * network_panel + r] = static_cast<T>(sum);
      }
    }
    for (std::size_t r = 0; r < w.width; ++r) {
      for (std::size_t c = 0; c < w.dim; ++c) {
        wide.data()[r * shape.padded + c] = static_cast<T>(w.hidden[r * (w.dim + 2) + c]);
      }
    }
  }
  NetworkShape shape;
  Panels<T> weights, heads, across, traces, wide;
};

namespace {

// Heads k and k + 1 mixed by 1 - s and s at time t; constant beyond the first and the last.
struct Blend {
  std::size_t k;
  double s;
};
Blend blend_at(const std::vector<double>& times, double t) noexcept {
  if (times.size() < 2 || !(t > times.front())) return {0, 0};
  if (t >= times.back()) return {times.size() - 1, 0};
  const auto k =
      static_cast<std::size_t>(std::upper_bound(times.begin(), times.end(), t) - times.begin() - 1);
  return {k, (t - times[k]) / (times[k + 1] - times[k])};
}

// A quantity kept for each head, at one time: a pointer to it or its mixture in `room`.
template <class T>
const T* mixed(const T* all, std::size_t size, Blend at, Panels<T>& room) noexcept {
  if (at.s == 0) return all + at.k * size;
  const T s = static_cast<T>(at.s);
  const T* low = all + at.k * size;
  for (std::size_t i = 0; i < size; ++i) {
    room.data()[i] = (1 - s) * low[i] + s * low[size + i];
  }
  return room.data();
}

template <class T>
struct Room {  // what an evaluation needs, kept by each thread
  Panels<T> scratch, z, out, heads, across, traces;
};

// The thread's room, made to fit; null where there is no memory for it. A field may not throw: what
// it cannot compute is not a number.
template <class T>
Room<T>* room(const NetworkShape& s, bool blends, std::size_t outputs = 0) noexcept {
  thread_local Room<T> it;
  try {
    it.scratch.fit(network_scratch(s.panels, s.inputs, s.padded));
    it.z.fit(network_tile * s.inputs);
    it.out.fit(outputs);
    if (blends) {
      it.heads.fit(s.head_size());
      it.across.fit(s.across_size());
      it.traces.fit(s.panels * network_panel);
    }
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return &it;
}
template <class T>
void unknown(std::span<T> values) noexcept {
  std::fill(values.begin(), values.end(), std::numeric_limits<T>::quiet_NaN());
}

}  // namespace

ReluNetwork::ReluNetwork(NetworkWeights weights) {
  validate(weights);
  weights_ = std::make_shared<const NetworkWeights>(std::move(weights));
  double_ = std::make_shared<const Packed<double>>(*weights_);
  single_ = std::make_shared<const Packed<float>>(*weights_);
}

double ReluNetwork::cost_ns() const noexcept {
  return double(weights_->width) * (0.1 + 0.04 * double(weights_->dim));
}

template <class T>
void ReluNetwork::evaluate(const Packed<T>& net, std::span<const double> t, std::span<const T> x,
                           std::span<T> v) const noexcept {
  const NetworkWeights& w = *weights_;
  const std::size_t d = w.dim, n = x.size() / d;
  Room<T>* const own = room<T>(net.shape, w.times.size() > 1);
  if (own == nullptr) return unknown(v);
  Room<T>& my = *own;
  NetworkView<T> view = net.shape.template view<T>(net.weights.data(), w);
  view.heads = net.heads.data();
  view.across = net.across.data();
  const bool one_head = w.times.size() < 2;
  for (std::size_t first = 0; first < n;) {
    std::size_t count = std::min(network_tile, n - first);
    if (!one_head) {  // a tile shares its heads: rows of one time
      const double at = t[t.size() == 1 ? 0 : first];
      std::size_t same = 1;
      while (same < count && (t.size() == 1 || t[first + same] == at)) ++same;
      count = same;
      const Blend blend = blend_at(w.times, at);
      view.heads = mixed(net.heads.data(), net.shape.head_size(), blend, my.heads);
      view.across = mixed(net.across.data(), net.shape.across_size(), blend, my.across);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const double at = t[t.size() == 1 ? 0 : first + i];
      net.shape.place(&x[(first + i) * d], at, w, my.z.data() + i * net.shape.inputs);
    }
    kernels<NetworkKernels<T>>().forward(view, count, my.z.data(), &v[first * d],
                                         my.scratch.data());
    first += count;
  }
}

void ReluNetwork::operator()(double t, std::span<const double> x,
                             std::span<double> v) const noexcept {
  evaluate<double>(*double_, {&t, 1}, x, v);
}
void ReluNetwork::operator()(std::span<const double> t, std::span<const double> x,
                             std::span<double> v) const noexcept {
  evaluate<double>(*double_, t, x, v);
}
void ReluNetwork::operator()(std::span<const double> t, std::span<const float> x,
                             std::span<float> v) const noexcept {
  evaluate<float>(*single_, t, x, v);
}

void ReluNetwork::divergence(double t, std::span<const double> x, std::span<double> v,
                             std::span<double> div) const noexcept {
  (*this)(t, x, v);
  const NetworkWeights& w = *weights_;
  const std::size_t n = x.size() / w.dim;
  const NetworkShape& shape = double_->shape;
  Room<double>* const own = room<double>(shape, w.times.size() > 1);
  if (own == nullptr) return unknown(div);
  Room<double>& my = *own;
  const NetworkView<double> view = shape.view<double>(double_->weights.data(), w);
  const double* traces =
      mixed(double_->traces.data(), shape.panels * network_panel, blend_at(w.times, t), my.traces);
  for (std::size_t first = 0; first < n; first += network_tile) {
    const std::size_t count = std::min(network_tile, n - first);
    for (std::size_t i = 0; i < count; ++i) {
      shape.place(&x[(first + i) * w.dim], t, w, my.z.data() + i * shape.inputs);
    }
    kernels<NetworkKernels<double>>().active_sum(view, count, my.z.data(), traces, &div[first],
                                                 my.scratch.data());
    for (std::size_t i = 0; i < count; ++i) div[first + i] *= view.scale;
  }
}

void ReluNetwork::jacobian(double t, std::span<const double> x,
                           std::span<double> jac) const noexcept {
  const NetworkWeights& w = *weights_;
  const std::size_t d = w.dim, n = x.size() / d;
  const NetworkShape& shape = double_->shape;
  // A matrix for each row, but no more of them at once than a cache holds.
  const std::size_t tile =
      std::clamp<std::size_t>((std::size_t{1} << 17) / (d * shape.padded), 1, network_tile);
  Room<double>* const own = room<double>(shape, w.times.size() > 1, tile * d * shape.padded);
  if (own == nullptr) return unknown(jac);
  Room<double>& my = *own;
  NetworkView<double> view = shape.view<double>(double_->weights.data(), w);
  view.heads = mixed(double_->heads.data(), shape.head_size(), blend_at(w.times, t), my.heads);
  for (std::size_t first = 0; first < n; first += tile) {
    const std::size_t count = std::min(tile, n - first);
    for (std::size_t i = 0; i < count; ++i) {
      shape.place(&x[(first + i) * d], t, w, my.z.data() + i * shape.inputs);
    }
    kernels<NetworkKernels<double>>().active_product(view, count, my.z.data(), double_->wide.data(),
                                                     my.out.data(), my.scratch.data());
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t r = 0; r < d; ++r) {
        for (std::size_t c = 0; c < d; ++c) {
          jac[((first + i) * d + r) * d + c] =
              view.scale * my.out.data()[(i * d + r) * shape.padded + c];
        }
      }
    }
  }
}

namespace {

// Changes of slope along the line, added up from the left.
struct Change {
  double place, by;
};

void sort(std::vector<Change>& changes) {
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.place < b.place; });
}

void require_line(const NetworkWeights& w) {
  if (w.dim != 1) throw std::invalid_argument("network: slopes are known on the line, dim 1");
}

}  // namespace

void ReluNetwork::kinks(double t, std::vector<double>& places, std::vector<double>& slopes) const {
  require_line(*weights_);
  const NetworkWeights& w = *weights_;
  const double scale = 1 / std::sqrt(double(w.width));
  const Blend at = blend_at(w.times, t);
  std::vector<Change> changes;
  double slope = 0;
  for (std::size_t r = 0; r < w.width; ++r) {
    const double* row = &w.hidden[3 * r];
    const double low = w.heads[at.k * w.width + r];
    const double a = at.s == 0 ? low : (1 - at.s) * low + at.s * w.heads[(at.k + 1) * w.width + r];
    if (row[0] == 0) continue;
    if (row[0] < 0) slope += scale * a * row[0];
    const double place = -(w.time_scale * t * row[1] + w.bias * row[2]) / row[0];
    changes.push_back({place, scale * a * std::abs(row[0])});
  }
  sort(changes);
  places.clear();
  slopes.assign(1, slope);
  for (const Change& change : changes) {
    slope += change.by;
    places.push_back(change.place);
    slopes.push_back(slope);
  }
}

ReluNetwork::Slopes ReluNetwork::slopes(double t0, double t1) const {
  require_line(*weights_);
  const NetworkWeights& w = *weights_;
  const double scale = 1 / std::sqrt(double(w.width));
  const Blend at = blend_at(w.times, t0), end = blend_at(w.times, t1);
  if (t0 != t1 && (at.k != end.k || at.s != end.s)) {
    throw std::invalid_argument("network: heads must not vary between t0 and t1");
  }
  // A neuron whose kink moves over [lo, hi] helps the bound from the earliest place it can and
  // hurts it from the latest: above `most` counts positive slopes as soon as they can be active.
  std::vector<Change> upper, lower;
  double most = 0, least = 0;
  for (std::size_t r = 0; r < w.width; ++r) {
    const double* row = &w.hidden[3 * r];
    const double head = w.heads[at.k * w.width + r];
    const double a =
        at.s == 0 ? head : (1 - at.s) * head + at.s * w.heads[(at.k + 1) * w.width + r];
    if (row[0] == 0) continue;
    const double k0 = -(w.time_scale * t0 * row[1] + w.bias * row[2]) / row[0];
    const double k1 = -(w.time_scale * t1 * row[1] + w.bias * row[2]) / row[0];
    const double lo = std::min(k0, k1), hi = std::max(k0, k1);
    const double slope = scale * a * row[0];  // where active
    const bool right = row[0] > 0;            // active to the right of its kink
    if (!right) most += slope, least += slope;
    const double by = right ? slope : -slope;
    // Starting early or ending late enlarges a positive slope; the reverse for a negative one.
    const bool early = right == (slope > 0);
    upper.push_back({early ? lo : hi, by});
    lower.push_back({early ? hi : lo, by});
  }
  const auto extreme = [](std::vector<Change>& changes, double slope, double sign) {
    sort(changes);
    double best = slope;
    for (std::size_t i = 0; i < changes.size(); ++i) {
      slope += changes[i].by;
      // Between kinks at one place there is no interval.
      if (i + 1 < changes.size() && changes[i + 1].place == changes[i].place) continue;
      best = sign * std::max(sign * best, sign * slope);
    }
    return best;
  };
  return {extreme(lower, least, -1), extreme(upper, most, 1)};
}

}  // namespace recouple
