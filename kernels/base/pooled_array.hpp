// Arrays for Python in recycled memory.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "kernels/base/arrays.hpp"
#include "kernels/base/memory.hpp"

namespace dcvc {

// An array (h, w, c) whose memory goes back to the pool when Python drops it.
template <class T>
Array<T> pooled_array(std::vector<ssize_t> shape, const std::shared_ptr<BufferPool>& pool) {
  size_t bytes = sizeof(T);
  for (const ssize_t side : shape) bytes *= static_cast<size_t>(side);
  struct Holder {
    std::shared_ptr<BufferPool> pool;
    BufferPool::Buffer buffer;
    ~Holder() { pool->give(buffer); }
  };
  auto holder = std::make_unique<Holder>(Holder{pool, {nullptr, 0}});
  holder->buffer = pool->take(bytes);
  T* data = static_cast<T*>(holder->buffer.memory);
  const pybind11::capsule owner(holder.release(), [](void* pointer) { delete static_cast<Holder*>(pointer); });
  return Array<T>(std::move(shape), data, owner);
}

}  // namespace dcvc
