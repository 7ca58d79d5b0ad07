// Aligned memory: owned arrays for weights and scratch, and a pool that gives the memory of freed tensors to new ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

namespace dcvc {

inline void* allocate_aligned(size_t bytes) {
  void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  if (!memory) throw std::bad_alloc();
  return memory;
}

// A zeroed array whose start is aligned to a cache line, with at least one spare line behind its end.
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(size_t size) { reserve(size); }
  ~AlignedArray() { std::free(data_); }
  AlignedArray(const AlignedArray&) = delete;
  AlignedArray& operator=(const AlignedArray&) = delete;

  // Makes room for `size` elements. If the array grows, all contents are zero.
  void reserve(size_t size) {
    if (size <= size_) return;
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
    const size_t bytes = (size * sizeof(T) + 63) / 64 * 64 + 64;
    data_ = static_cast<T*>(allocate_aligned(bytes));
    std::memset(static_cast<void*>(data_), 0, bytes);
    size_ = size;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// Recycles tensor memory, so that a steady stream of frames neither grows memory nor touches fresh pages.
class BufferPool {
 public:
  ~BufferPool() {
    for (auto& [bytes, memory] : free_) std::free(memory);
  }

  struct Buffer {
    void* memory;
    size_t bytes;
  };

  std::mutex& mutex() { return mutex_; }

  Buffer take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = free_.lower_bound(bytes);
    if (found != free_.end() && found->first <= 2 * bytes + 4096) {
      const Buffer buffer{found->second, found->first};
      retained_ -= found->first;
      free_.erase(found);
      return buffer;
    }
    return {allocate_aligned(bytes), bytes};
  }

  void give(Buffer buffer) {
    const std::lock_guard lock(mutex_);
    if (retained_ + buffer.bytes > kMostRetained) {
      std::free(buffer.memory);
      return;
    }
    retained_ += buffer.bytes;
    free_.emplace(buffer.bytes, buffer.memory);
  }

 private:
  static constexpr size_t kMostRetained = size_t{512} << 20;
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  size_t retained_ = 0;
};

}  // namespace dcvc
