// The only room that knows about threads.
//
// Results never depend on the thread count: a loop is cut into tasks whose number depends on the
// problem alone, each task writes its own output, and sums are added up over tasks in order.
#pragma once

#include <cstddef>
#include <functional>
#include <type_traits>

namespace recouple {

// Threads used when a call asks for 0: the least of OpenMP's maximum, the CPUs this process may run
// on, and the quota at the root of the visible cgroup tree. 1 without OpenMP and in a forked child.
int default_threads() noexcept;

// More threads than this are never started, whatever a call asks for.
inline constexpr int most_threads = 1024;

// True in a process forked after this library was loaded; loops run serially there, because an
// OpenMP runtime does not survive a fork.
bool in_forked_child() noexcept;

// The OpenMP runtime this library was compiled for ("libgomp", "libomp"), or "none (serial build)".
const char* openmp_runtime() noexcept;

// Work below which a loop stays serial, in nanoseconds of estimated time: waking a second thread
// costs 5-10 us, so anything shorter than a few times that loses.
inline constexpr double serial_cutoff_ns = 50e3;

// The same for a region inside an algorithm that has one after another: each ends at a barrier, and
// on a busy machine a barrier costs a time slice of milliseconds (measured with twice as many busy
// processes as processors).
inline constexpr double repeated_region_cutoff_ns = 2e6;

// `threads`, or the default for 0, but 1 when the estimated work is below the cut-off.
int threads_for(double estimated_ns, int threads) noexcept;

// How long work reports: called now and then on the caller's thread, never inside a parallel
// region, with the work done so far and in all. Returning false asks the work to stop at the next
// safe point.
using Progress = std::function<bool(std::size_t done, std::size_t total)>;

namespace detail {
using Task = void (*)(void* context, std::size_t index) noexcept;
void run_tasks(std::size_t n, int threads, Task task, void* context) noexcept;
}  // namespace detail

// body(i) for i in [0, n), on up to `threads` threads (0: the default). A body that may throw does
// not compile: nothing can leave a parallel region.
template <class Body>
requires std::is_nothrow_invocable_v<Body&, std::size_t>
void parallel_for(std::size_t n, int threads, Body&& body) {
  using Stored = std::remove_reference_t<Body>;
  detail::run_tasks(
      n, threads,
      [](void* context, std::size_t index) noexcept { (*static_cast<Stored*>(context))(index); },
      const_cast<std::remove_const_t<Stored>*>(&body));
}

}  // namespace recouple
