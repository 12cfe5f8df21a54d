// Scratch memory: left uninitialised, 64-byte aligned, on huge pages where it is large.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace recouple {

template <class T>
class Buffer {
  static_assert(std::is_trivial_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::size_t n) {
    constexpr std::size_t huge = std::size_t{1} << 21;
    const std::size_t bytes = n * sizeof(T);
    const std::size_t alignment = bytes >= 2 * huge ? huge : 64;
    data_ = {static_cast<T*>(::operator new (bytes + 64, std::align_val_t{alignment})),
             Free{std::align_val_t{alignment}}};
#ifdef __linux__
    // First touch of ordinary pages costs as much as a pass over the data.
    if (alignment == huge) madvise(data_.get(), bytes, MADV_HUGEPAGE);
#endif
  }

  T* data() noexcept {
    return data_.get();
  }
  T& operator[](std::size_t i) noexcept {
    return data_.get()[i];
  }
  std::span<T> part(std::size_t first, std::size_t n) noexcept {
    return {data_.get() + first, n};
  }

 private:
  struct Free {
    std::align_val_t alignment{64};
    void operator()(T* p) const noexcept { ::operator delete(p, alignment); }
  };
  std::unique_ptr<T, Free> data_;
};

}  // namespace recouple
