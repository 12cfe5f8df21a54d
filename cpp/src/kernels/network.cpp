#include "kernels/network.hpp"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "kernels/network_lanes.hpp"
#include "kernels/network_signs.hpp"

namespace recouple {
namespace {

// What becomes of a tile of the product X B before it is stored at C.
enum class Finish { store, add, relu, gate };  // gate: zero where the value at `with` is not active

template <class T, Finish finish, std::size_t rows, std::size_t vectors>
inline void product_tile(std::size_t k, const T* x, std::size_t ldx, const T* b, std::size_t ldb,
                         T* c, std::size_t ldc, const T* with) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  Vec<T> sum[rows][vectors];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) {
      if constexpr (finish == Finish::add) {
        sum[r][v] = load(c + r * ldc + v * width);
      } else {
        sum[r][v] = Vec<T>{};
      }
    }
  }
  for (std::size_t i = 0; i < k; ++i) {
    Vec<T> row[vectors];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) row[v] = load(b + i * ldb + v * width);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < rows; ++r) {
      const T factor = x[r * ldx + i];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < vectors; ++v) sum[r][v] += factor * row[v];
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) {
      T* to = c + r * ldc + v * width;
      if constexpr (finish == Finish::relu) {
        store<T>(to, relu<T>(sum[r][v]));
      } else if constexpr (finish == Finish::gate) {
        store<T>(to, where_active<T>(load(with + r * ldc + v * width), sum[r][v]));
      } else {
        store<T>(to, sum[r][v]);
      }
    }
  }
}

template <class T, Finish finish, std::size_t vectors>
inline void product_columns(std::size_t n, std::size_t k, const T* x, std::size_t ldx, const T* b,
                            std::size_t ldb, T* c, std::size_t ldc, const T* with) noexcept {
  constexpr std::size_t rows = vectors == 1 ? 2 * tile_rows : tile_rows;
  std::size_t i = 0;
  const auto go = [&]<std::size_t count>() noexcept {
    product_tile<T, finish, count, vectors>(k, x + i * ldx, ldx, b, ldb, c + i * ldc, ldc,
                                            with != nullptr ? with + i * ldc : nullptr);
    i += count;
  };
  while (i + rows <= n) go.template operator()<rows>();
  while (i + 4 <= n) go.template operator()<4>();
  while (i < n) go.template operator()<1>();
}

// C (n x columns) from X (n x k) B (k x columns), row-major; `columns` a multiple of the register.
template <class T, Finish finish>
void product(std::size_t n, std::size_t k, std::size_t columns, const T* x, std::size_t ldx,
             const T* b, std::size_t ldb, T* c, std::size_t ldc, const T* with = nullptr) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  std::size_t j = 0;
  const auto go = [&]<std::size_t vectors>() noexcept {
    product_columns<T, finish, vectors>(n, k, x, ldx, b + j, ldb, c + j, ldc,
                                        with != nullptr ? with + j : nullptr);
    j += vectors * width;
  };
  while (j + tile_vectors * width <= columns) go.template operator()<tile_vectors>();
  if (tile_vectors > 2 && j + 2 * width <= columns) go.template operator()<2>();
  while (j < columns) go.template operator()<1>();
}

// --- few outputs: one pass over the neurons in registers ---

template <class T, std::size_t d>
struct Neurons {  // one register of neurons
  Vec<T> w[d + 1], start, a[d];
  void read(const NetworkView<T>& net, std::size_t p, std::size_t v) noexcept {
    const T* from = net.weights + p * (d + 2) * panel + v;
#pragma GCC unroll 8
    for (std::size_t c = 0; c <= d; ++c) w[c] = load(from + c * panel);
    start = net.bias * load(from + (d + 1) * panel);
#ifdef __AVX512F__
    asm("" : "+v"(start));  // a product to keep, not to fuse into every row
#endif
#pragma GCC unroll 8
    for (std::size_t j = 0; j < d; ++j) a[j] = load(net.heads + (p * d + j) * panel + v);
  }
  Vec<T> before(const T* z) const noexcept {
    Vec<T> pre = start;
#pragma GCC unroll 8
    for (std::size_t c = 0; c <= d; ++c) pre += z[c] * w[c];
    return pre;
  }
};

// `kept`, if any, takes for each register of neurons which of them are active at each row of a
// tile.
template <class T, std::size_t d, std::size_t rows, bool keep>
inline void forward_rows(const NetworkView<T>& net, const T* z, T* out, Active<T>* kept) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  Vec<T> sum[rows][d] = {};
  for (std::size_t p = 0; p < net.panels; ++p) {
    for (std::size_t v = 0; v < panel; v += width) {
      Neurons<T, d> neurons;
      neurons.read(net, p, v);
#pragma GCC unroll 16
      for (std::size_t s = 0; s < rows; ++s) {
        const Vec<T> pre = neurons.before(z + s * (d + 2));
        if constexpr (keep) {
          const Active<T> k = active<T>(pre);
          kept[s] = k;
#pragma GCC unroll 8
          for (std::size_t j = 0; j < d; ++j) {
            sum[s][j] = add_where<T>(k, neurons.a[j], pre, sum[s][j]);
          }
        } else {
          const Vec<T> h = relu<T>(pre);
#pragma GCC unroll 8
          for (std::size_t j = 0; j < d; ++j) sum[s][j] += neurons.a[j] * h;
        }
      }
      if constexpr (keep) kept += tile;
    }
  }
  for (std::size_t s = 0; s < rows; ++s) {
    for (std::size_t j = 0; j < d; ++j) out[s * d + j] = net.scale * sum_of<T>(sum[s][j]);
  }
}

template <class T, std::size_t d, bool keep = false>
void forward_few(const NetworkView<T>& net, std::size_t n, const T* z, T* out,
                 Active<T>* kept = nullptr) noexcept {
  constexpr std::size_t rows = d <= 2 ? 8 : 4;
  std::size_t i = 0;
  const auto go = [&]<std::size_t count>() noexcept {
    forward_rows<T, d, count, keep>(net, z + i * (d + 2), out + i * d, keep ? kept + i : nullptr);
    i += count;
  };
  while (i + rows <= n) go.template operator()<rows>();
  while (i < n) go.template operator()<1>();
}

// Registers of neurons taken together on the way back, so that rows are read once for all.
constexpr std::size_t abreast = register_bytes == 64 ? 2 : 1;

// The gradient for residuals r (n, d).
template <class T, std::size_t d, bool heads>
void backward_few(const NetworkView<T>& net, std::size_t n, const T* z, const T* r, T* gw, T* ga,
                  [[maybe_unused]] const Active<T>* kept) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  for (std::size_t p = 0; p < net.panels; ++p) {
    for (std::size_t first = 0; first < panel; first += abreast * width) {
      Neurons<T, d> neurons[abreast];
#pragma GCC unroll 2
      for (std::size_t i = 0; i < abreast; ++i) neurons[i].read(net, p, first + i * width);
      Vec<T> sum[abreast][d + 1] = {}, total[abreast] = {}, head[abreast][d] = {};
      for (std::size_t s = 0; s < n; ++s) {
        const T* zs = z + s * (d + 2);
        const T* rs = r + s * d;
#pragma GCC unroll 2
        for (std::size_t i = 0; i < abreast; ++i) {
          Vec<T> pre{};
          if constexpr (heads || !keeps_active) pre = neurons[i].before(zs);
          Active<T> k;
          if constexpr (keeps_active) {
            k = kept[i * tile + s];
          } else {
            k = active<T>(pre);
          }
          Vec<T> g{};
#pragma GCC unroll 8
          for (std::size_t j = 0; j + 1 < d; ++j) g += rs[j] * neurons[i].a[j];
          g = only_where<T>(k, rs[d - 1], neurons[i].a[d - 1], g);
#pragma GCC unroll 8
          for (std::size_t c = 0; c <= d; ++c) sum[i][c] += zs[c] * g;
          total[i] += g;
          if constexpr (heads) {
            const Vec<T> h = relu<T>(pre);
#pragma GCC unroll 8
            for (std::size_t j = 0; j < d; ++j) head[i][j] += rs[j] * h;
          }
        }
      }
      if constexpr (keeps_active) kept += abreast * tile;
#pragma GCC unroll 2
      for (std::size_t i = 0; i < abreast; ++i) {
        const std::size_t v = first + i * width;
        T* to = gw + p * (d + 2) * panel + v;
#pragma GCC unroll 8
        for (std::size_t c = 0; c <= d; ++c) {
          store<T>(to + c * panel, load(to + c * panel) + sum[i][c]);
        }
        T* bias = to + (d + 1) * panel;
        store<T>(bias, load(bias) + net.bias * total[i]);
        if constexpr (heads) {
#pragma GCC unroll 8
          for (std::size_t j = 0; j < d; ++j) {
            T* at = ga + (p * d + j) * panel + v;
            store<T>(at, load(at) + head[i][j]);
          }
        }
      }
    }
  }
}

// f - target in place of f; returns the sum of its squares.
template <class T>
double residuals(std::size_t n, std::size_t d, T* f, std::size_t ld, const T* target) noexcept {
  double loss = 0;
  for (std::size_t s = 0; s < n; ++s) {
    T square = 0;
    for (std::size_t j = 0; j < d; ++j) {
      const T r = f[s * ld + j] - target[s * d + j];
      f[s * ld + j] = r;
      square += r * r;
    }
    loss += static_cast<double>(square);
  }
  return loss;
}

template <class T, std::size_t d>
double gradient_few(const NetworkView<T>& net, std::size_t n, const T* z, const T* target, T* gw,
                    T* ga, T* scratch) noexcept {
  T* r = scratch;
#ifdef __AVX512F__
  if (net.group_ends != nullptr && ga == nullptr) {
    return gradient_signs<T, d>(net, n, z, target, gw, scratch);
  }
#endif
  auto* kept = reinterpret_cast<Active<T>*>(r + tile * d);
  forward_few<T, d, keeps_active>(net, n, z, r, kept);
  const double loss = residuals(n, d, r, d, target);
  if (ga != nullptr) {
    backward_few<T, d, true>(net, n, z, r, gw, ga, kept);
  } else {
    backward_few<T, d, false>(net, n, z, r, gw, ga, kept);
  }
  return loss;
}

// --- many outputs: products of tiles and panels that stay in the caches ---

template <class T>
void hidden(const NetworkView<T>& net, std::size_t n, const T* z, std::size_t p, T* h) noexcept {
  product<T, Finish::relu>(n, net.inputs, panel, z, net.inputs,
                           net.weights + p * net.inputs * panel, panel, h, panel);
}

template <class T>
void outputs(const NetworkView<T>& net, std::size_t n, std::size_t p, const T* h, T* out) noexcept {
  const T* across = net.across + p * panel * net.padded_outputs;
  const std::size_t ld = net.padded_outputs;
  if (p == 0) {
    product<T, Finish::store>(n, panel, ld, h, panel, across, ld, out, ld);
  } else {
    product<T, Finish::add>(n, panel, ld, h, panel, across, ld, out, ld);
  }
}

template <class T>
void forward_many(const NetworkView<T>& net, std::size_t n, const T* z, T* out,
                  T* scratch) noexcept {
  T* sum = scratch + tile * panel;
  for (std::size_t p = 0; p < net.panels; ++p) {
    hidden(net, n, z, p, scratch);
    outputs(net, n, p, scratch, sum);
  }
  for (std::size_t s = 0; s < n; ++s) {
    for (std::size_t j = 0; j < net.outputs; ++j) {
      out[s * net.outputs + j] = net.scale * sum[s * net.padded_outputs + j];
    }
  }
}

template <class T>
void transpose(std::size_t n, std::size_t columns, const T* from, std::size_t ld, T* to) noexcept {
  for (std::size_t s = 0; s < n; ++s) {
    for (std::size_t c = 0; c < columns; ++c) to[c * tile + s] = from[s * ld + c];
  }
}

template <class T>
double gradient_many(const NetworkView<T>& net, std::size_t n, const T* z, const T* target, T* gw,
                     T* ga, T* scratch) noexcept {
  const std::size_t d = net.outputs, ld = net.padded_outputs;
  T* h = scratch;                               // (panels, tile, panel)
  T* g = h + tile * net.panels * panel;         // (tile, panel)
  T* z_across = g + tile * panel;               // (inputs, tile)
  T* r = z_across + tile * net.inputs;          // (tile, padded outputs)
  T* r_across = r + tile * net.padded_outputs;  // (outputs, tile)
  for (std::size_t p = 0; p < net.panels; ++p) {
    hidden(net, n, z, p, h + p * tile * panel);
    outputs(net, n, p, h + p * tile * panel, r);
  }
  for (std::size_t i = 0; i < n * ld; ++i) r[i] *= net.scale;
  const double loss = residuals(n, d, r, ld, target);
  transpose(n, net.inputs, z, net.inputs, z_across);
  if (ga != nullptr) transpose(n, d, r, ld, r_across);
  for (std::size_t p = 0; p < net.panels; ++p) {
    const T* hp = h + p * tile * panel;
    product<T, Finish::gate>(n, d, panel, r, ld, net.heads + p * d * panel, panel, g, panel, hp);
    product<T, Finish::add>(net.inputs, n, panel, z_across, tile, g, panel,
                            gw + p * net.inputs * panel, panel);
    if (ga != nullptr) {
      product<T, Finish::add>(d, n, panel, r_across, tile, hp, panel, ga + p * d * panel, panel);
    }
  }
  return loss;
}

// --- the tables' entries ---

template <class T>
void forward(const NetworkView<T>& net, std::size_t n, const T* z, T* out, T* scratch) noexcept {
  switch (net.outputs) {
    case 1:
      return forward_few<T, 1>(net, n, z, out);
    case 2:
      return forward_few<T, 2>(net, n, z, out);
    case 3:
      return forward_few<T, 3>(net, n, z, out);
    default:
      return forward_many(net, n, z, out, scratch);
  }
}

template <class T>
double gradient(const NetworkView<T>& net, std::size_t n, const T* z, const T* target, T* gw, T* ga,
                T* scratch) noexcept {
  switch (net.outputs) {
    case 1:
      return gradient_few<T, 1>(net, n, z, target, gw, ga, scratch);
    case 2:
      return gradient_few<T, 2>(net, n, z, target, gw, ga, scratch);
    case 3:
      return gradient_few<T, 3>(net, n, z, target, gw, ga, scratch);
    default:
      return gradient_many(net, n, z, target, gw, ga, scratch);
  }
}

template <class T>
void active_sum(const NetworkView<T>& net, std::size_t n, const T* z, const T* value, T* out,
                T* scratch) noexcept {
  constexpr std::size_t width = VectorOf<T>::width;
  for (std::size_t s = 0; s < n; ++s) out[s] = 0;
  for (std::size_t p = 0; p < net.panels; ++p) {
    hidden(net, n, z, p, scratch);
    for (std::size_t s = 0; s < n; ++s) {
      Vec<T> sum{};
      for (std::size_t v = 0; v < panel; v += width) {
        sum += where_active<T>(load(scratch + s * panel + v), load(value + p * panel + v));
      }
      out[s] += sum_of<T>(sum);
    }
  }
}

template <class T>
void active_product(const NetworkView<T>& net, std::size_t n, const T* z, const T* values, T* out,
                    T* scratch) noexcept {
  const std::size_t d = net.outputs, ld = net.padded_outputs;
  T* gated = scratch + tile * panel;  // (outputs, panel)
  for (std::size_t i = 0; i < n * d * ld; ++i) out[i] = 0;
  for (std::size_t p = 0; p < net.panels; ++p) {
    hidden(net, n, z, p, scratch);
    for (std::size_t s = 0; s < n; ++s) {
      const T* h = scratch + s * panel;
      for (std::size_t j = 0; j < d; ++j) {
        const T* a = net.heads + (p * d + j) * panel;
        for (std::size_t v = 0; v < panel; ++v) gated[j * panel + v] = h[v] <= 0 ? T{} : a[v];
      }
      product<T, Finish::add>(d, panel, ld, gated, panel, values + p * panel * ld, ld,
                              out + s * d * ld, ld);
    }
  }
}

// While it lives, what underflows is zero: the averages of a gradient that has vanished decay
// through numbers that a processor takes a hundred cycles for.
class Flush {
 public:
  Flush() noexcept = default;
  Flush(const Flush&) = delete;
  Flush& operator=(const Flush&) = delete;
#ifdef __SSE2__
  ~Flush() {
    _mm_setcsr(before_);
  }

 private:
  static unsigned start() noexcept {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);  // results to zero, operands too
    return before;
  }
  unsigned before_ = start();
#endif
};

template <class T>
void descend(std::size_t n, T* w, T* last, const T* g, T* v, T factor, T momentum,
             T rate) noexcept {
  if (v == nullptr) {
    const T step = rate * factor;
#pragma GCC ivdep
    for (std::size_t i = 0; i < n; ++i) {
      last[i] = w[i];
      w[i] -= step * g[i];
    }
    return;
  }
  [[maybe_unused]] const Flush flush;
#pragma GCC ivdep
  for (std::size_t i = 0; i < n; ++i) {
    last[i] = w[i];
    v[i] = momentum * v[i] + factor * g[i];
    w[i] -= rate * v[i];
  }
}

template <class T>
void adam(std::size_t n, T* w, T* last, const T* g, T* first, T* second, T factor, T beta1, T beta2,
          T correct1, T correct2, T epsilon, T rate) noexcept {
  [[maybe_unused]] const Flush flush;
#pragma GCC ivdep
  for (std::size_t i = 0; i < n; ++i) {
    const T slope = factor * g[i];
    last[i] = w[i];
    first[i] = beta1 * first[i] + (1 - beta1) * slope;
    second[i] = beta2 * second[i] + (1 - beta2) * slope * slope;
    const T root = [](T x) {
      if constexpr (sizeof(T) == 4) {
        return __builtin_sqrtf(x);
      } else {
        return __builtin_sqrt(x);
      }
    }(correct2 * second[i]);
    w[i] -= rate * correct1 * first[i] / (root + epsilon);
  }
}

template <class T>
constexpr NetworkKernels<T> table{keeps_active,       &forward<T>, &gradient<T>, &active_sum<T>,
                                  &active_product<T>, &descend<T>, &adam<T>};

}  // namespace

template <>
template <>
const NetworkKernels<float>& NetworkKernels<float>::at<level_of_this_file>() noexcept {
  return table<float>;
}
template <>
template <>
const NetworkKernels<double>& NetworkKernels<double>::at<level_of_this_file>() noexcept {
  return table<double>;
}

}  // namespace recouple
