// The kernels that are linked in, by name.
#pragma once

#include <cstddef>
#include <vector>

namespace emulator {

struct Kernel {
  const char* name;
  int threads, shared_bytes;
  size_t argument_bytes;
  void (*run)(const void* arguments);
};

inline std::vector<Kernel>& kernels() {
  static std::vector<Kernel> all;
  return all;
}

inline bool add_kernel(const Kernel& kernel) {
  kernels().push_back(kernel);
  return true;
}

}  // namespace emulator
