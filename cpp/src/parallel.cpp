#include "recouple/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define RECOUPLE_HAS_FORK
#endif

namespace recouple {
namespace {

std::atomic<bool> forked_child{false};

#ifdef RECOUPLE_HAS_FORK
const bool fork_handler_installed = [] {
  pthread_atfork(nullptr, nullptr, [] { forked_child.store(true); });
  return true;
}();
#endif

[[maybe_unused]] int cpus_in_affinity_mask() noexcept {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return 1 << 20;
}

// CPU quota of the control group (version 2, then version 1), rounded up; no limit if none is set.
[[maybe_unused]] int cpus_in_cgroup_quota() noexcept {
  try {
    if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file) {
      std::string quota;
      double period = 0;
      if (file >> quota >> period && quota != "max" && period > 0) {
        return std::max(1, static_cast<int>((std::stod(quota) + period - 1) / period));
      }
    }
    std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    double quota = 0, period = 0;
    if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) {
      return std::max(1, static_cast<int>((quota + period - 1) / period));
    }
  } catch (...) {  // an unreadable limit is no limit
  }
  return 1 << 20;
}

}  // namespace

bool in_forked_child() noexcept {
  return forked_child.load(std::memory_order_relaxed);
}

int default_threads() noexcept {
#ifdef _OPENMP
  if (in_forked_child()) return 1;
  static const int hardware = std::min(cpus_in_affinity_mask(), cpus_in_cgroup_quota());
  return std::max(1, std::min(omp_get_max_threads(), hardware));
#else
  return 1;
#endif
}

int threads_for(double estimated_ns, int threads) noexcept {
  if (estimated_ns < serial_cutoff_ns) return 1;
  return threads > 0 ? threads : default_threads();
}

const char* openmp_runtime() noexcept {
#if defined(_OPENMP) && defined(__clang__)
  return "libomp";
#elif defined(_OPENMP)
  return "libgomp";
#else
  return "none (serial build)";
#endif
}

void detail::run_tasks(std::size_t n, int threads, Task task, void* context) noexcept {
#ifdef _OPENMP
  const int wanted = std::min(threads > 0 ? threads : default_threads(), most_threads);
  if (wanted > 1 && n > 1 && !in_forked_child() && !omp_in_parallel()) {
    const int team = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(wanted), n));
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (std::size_t i = 0; i < n; ++i) task(context, i);
    return;
  }
#endif
  static_cast<void>(threads);
  for (std::size_t i = 0; i < n; ++i) task(context, i);
}

}  // namespace recouple
