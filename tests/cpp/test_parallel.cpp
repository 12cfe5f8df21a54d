#include <doctest/doctest.h>

#include <atomic>
#include <vector>

#include "recouple/parallel.hpp"

TEST_CASE("every index is visited once, whatever the thread count") {
  for (const int threads : {0, 1, 2, 3, 7}) {
    std::vector<std::atomic<int>> visits(1000);
    recouple::parallel_for(visits.size(), threads, [&](std::size_t i) noexcept { ++visits[i]; });
    for (const auto& v : visits) CHECK(v.load() == 1);
  }
}

TEST_CASE("a loop inside a loop runs, serially") {
  std::atomic<int> total{0};
  recouple::parallel_for(4, 2, [&](std::size_t) noexcept {
    recouple::parallel_for(5, 2, [&](std::size_t) noexcept { ++total; });
  });
  CHECK(total.load() == 20);
}

TEST_CASE("an empty loop does nothing and short work asks for one thread") {
  recouple::parallel_for(0, 2, [](std::size_t) noexcept { FAIL("called"); });
  CHECK(recouple::threads_for(10, 8) == 1);
  CHECK(recouple::threads_for(1e9, 8) == 8);
}
