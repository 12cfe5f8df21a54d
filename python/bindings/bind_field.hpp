// A field as Python holds it, for the bindings of the rooms that take one.
#pragma once

#include <memory>
#include <optional>

#include "bind.hpp"
#include "recouple/field.hpp"

namespace recouple::bindings {

// A Python callable v(t, x). Called on the caller's thread with the whole batch. The first
// exception is kept, all later values are NaN, and rethrow() raises it once the solver has stopped.
class CallableField {
 public:
  CallableField(py::function function, std::size_t dim);
  std::size_t dim() const noexcept { return dim_; }
  bool failed() const noexcept { return state_->error != nullptr; }
  void operator()(double t, std::span<const double> x, std::span<double> v) const noexcept;
  void operator()(std::span<const double> t, std::span<const double> x,
                  std::span<double> v) const noexcept;
  void rethrow() const;

 private:
  struct State {
    py::function function;
    std::exception_ptr error;
  };
  // At one time, or at a time for each point.
  void call(std::span<const double> t, bool one, std::span<const double> x,
            std::span<double> v) const noexcept;

  std::shared_ptr<State> state_;  // released under the GIL, wherever the last copy dies
  std::size_t dim_;
};

struct Field {
  AnyField any;
  std::optional<CallableField> callable;
  void rethrow() const;
};

}  // namespace recouple::bindings
