#include "bind.hpp"
#include "bind_field.hpp"
#include "recouple/network.hpp"

namespace recouple::bindings {

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

Array copied(const std::vector<double>& values, std::vector<py::ssize_t> shape) {
  Array out = allocate(std::move(shape));
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}
std::vector<double> held(const Array& a) {
  return {a.data(), a.data() + a.size()};
}

py::tuple arrays(const NetworkWeights& w) {
  const auto m = static_cast<py::ssize_t>(w.width), d = static_cast<py::ssize_t>(w.dim);
  return py::make_tuple(copied(w.hidden, {m, d + 2}),
                        copied(w.heads, {static_cast<py::ssize_t>(w.head_count()), m, d}));
}

template <class T>
void bind_trainer(py::module_& m, const char* name) {
  using Run = Trainer<T>;
  py::class_<Run>(m, name, "Trains a network on pairs, epoch after epoch.")
      .def(py::init([](const ReluNetwork& start, const TrainOptions& options) {
             return Run(start.weights(), options);
           }),
           "start"_a, "options"_a)
      .def(
          "run",
          [](Run& run, const Array& t, const Array& x0, const Array& x1, std::size_t epochs,
             py::object callback) {
            Array losses = allocate({static_cast<py::ssize_t>(epochs)});
            const auto ts = view(t), a = view(x0), b = view(x1);
            const auto out = writable(losses);
            std::fill(out.begin(), out.end(), std::numeric_limits<double>::quiet_NaN());
            Watch watch(std::move(callback));
            typename Run::End end;
            {
              py::gil_scoped_release release;
              end = run.run(ts, a, b, epochs, out, watch.progress());
            }
            bool interrupted = false;
            try {
              watch.rethrow();
            } catch (py::error_already_set& error) {
              if (!error.matches(PyExc_KeyboardInterrupt)) throw;
              interrupted = true;
            }
            const char* status = interrupted                 ? "interrupted"
                                 : end == Run::End::finished ? "finished"
                                 : end == Run::End::diverged ? "diverged"
                                                             : "stopped";
            return py::make_tuple(losses, status);
          },
          "t"_a.noconvert(), "x0"_a.noconvert(), "x1"_a.noconvert(), "epochs"_a,
          "callback"_a = py::none(), "Losses of the epochs, and how they ended.")
      .def(
          "loss",
          [](const Run& run, const Array& t, const Array& x0, const Array& x1) {
            const auto ts = view(t), a = view(x0), b = view(x1);
            py::gil_scoped_release release;
            return run.loss(ts, a, b, nullptr, nullptr);
          },
          "t"_a.noconvert(), "x0"_a.noconvert(), "x1"_a.noconvert(), "Mean loss at given rows.")
      .def(
          "gradient",
          [](const Run& run, const Array& t, const Array& x0, const Array& x1, bool heads) {
            NetworkWeights g = run.weights();
            double loss = 0;
            {
              const auto ts = view(t), a = view(x0), b = view(x1);
              py::gil_scoped_release release;
              loss = run.loss(ts, a, b, &g.hidden, heads ? &g.heads : nullptr);
            }
            return py::make_tuple(loss, arrays(g));
          },
          "t"_a.noconvert(), "x0"_a.noconvert(), "x1"_a.noconvert(), "heads"_a,
          "Loss and its gradient at given rows.")
      .def("network", [](const Run& run) { return ReluNetwork(run.weights()); })
      .def_property_readonly("steps", &Run::steps)
      .def_property_readonly("epochs", &Run::epochs)
      .def("state",
           [](const Run& run) {
             const auto state = run.state();
             return copied(state, {static_cast<py::ssize_t>(state.size())});
           })
      .def(
          "restore", [](Run& run, const Array& state) { run.restore(view(state)); },
          "state"_a.noconvert());
}

}  // namespace

void bind_network(py::module_& m) {
  py::class_<ReluNetwork>(m, "ReluNetwork", "A two-layer ReLU network.")
      .def(py::init([](const Array& hidden, const Array& heads, double time_scale, double bias,
                       const Array& times) {
             if (hidden.ndim() != 2 || heads.ndim() != 3) {
               throw std::invalid_argument("network: hidden must be (m, d + 2), heads (k, m, d)");
             }
             return ReluNetwork({static_cast<std::size_t>(heads.shape(2)),
                                 static_cast<std::size_t>(hidden.shape(0)), time_scale, bias,
                                 held(times), held(hidden), held(heads)});
           }),
           "hidden"_a.noconvert(), "heads"_a.noconvert(), "time_scale"_a, "bias"_a,
           "times"_a.noconvert())
      .def("arrays", [](const ReluNetwork& net) { return arrays(net.weights()); })
      .def("field",
           [](const ReluNetwork& net) {
             return Field{net, {}};
           })
      .def(
          "single",
          [](const ReluNetwork& net, const Array& t, const FloatArray& x, int threads) {
            const std::size_t d = net.dim(), n = static_cast<std::size_t>(x.size()) / d;
            FloatArray v(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
            const std::span<const float> xs{x.data(), n * d};
            const std::span<float> vs{v.mutable_data(), n * d};
            const auto ts = view(t);
            py::gil_scoped_release release;
            constexpr std::size_t block = 1024;
            parallel_for((n + block - 1) / block,
                         threads_for(double(n) * net.cost_ns() / 2, threads),
                         [&](std::size_t i) noexcept {
                           const std::size_t first = i * block, count = std::min(block, n - first);
                           net(ts.size() == 1 ? ts : ts.subspan(first, count),
                               xs.subspan(first * d, count * d), vs.subspan(first * d, count * d));
                         });
            return v;
          },
          "t"_a.noconvert(), "x"_a.noconvert(), "threads"_a = 0, "Velocities in single precision.")
      .def(
          "kinks",
          [](const ReluNetwork& net, double t) {
            std::vector<double> places, slopes;
            net.kinks(t, places, slopes);
            return py::make_tuple(copied(places, {static_cast<py::ssize_t>(places.size())}),
                                  copied(slopes, {static_cast<py::ssize_t>(slopes.size())}));
          },
          "t"_a, "Places where f(t, .) bends, and its slopes between them.")
      .def(
          "slopes",
          [](const ReluNetwork& net, double t0, double t1) {
            const auto s = net.slopes(t0, t1);
            return py::make_tuple(s.least, s.most);
          },
          "t0"_a, "t1"_a, "Bounds of the slope over all x and all times in [t0, t1].");

  py::class_<TrainOptions>(m, "TrainOptions", "How a network is trained.")
      .def(py::init([](bool adam, bool train_heads, double rate, double momentum,
                       std::pair<double, double> betas, double epsilon, std::size_t batch,
                       bool redraw_times, std::uint64_t seed, const Interpolant& interpolant,
                       int threads) {
             return TrainOptions{
                 adam ? TrainOptions::Optimiser::adam : TrainOptions::Optimiser::descent,
                 train_heads,
                 rate,
                 momentum,
                 betas.first,
                 betas.second,
                 epsilon,
                 batch,
                 redraw_times,
                 seed,
                 interpolant,
                 threads};
           }),
           "adam"_a, "train_heads"_a, "rate"_a, "momentum"_a, "betas"_a, "epsilon"_a, "batch"_a,
           "redraw_times"_a, "seed"_a, "interpolant"_a, "threads"_a);
  bind_trainer<float>(m, "TrainerSingle");
  bind_trainer<double>(m, "TrainerDouble");
}

}  // namespace recouple::bindings
