// The emulator as a library with a C interface: device memory, launches, faults. tests/cuda/emulated.py calls it.
#include <cstdlib>
#include <cstring>
#include <string>

#include "machine.hpp"
#include "registry.hpp"
#include "shadow.hpp"

extern "C" {

// Device memory of its own range, poisoned; `cell_bytes` is the size of its elements.
void* emulator_allocate(size_t bytes, size_t cell_bytes) {
  const size_t rounded = (bytes + 255) / 256 * 256;
  void* memory = std::aligned_alloc(256, rounded ? rounded : 256);
  if (!memory) return nullptr;
  std::memset(memory, 0xA5, rounded);
  emulator::global_shadow().add(memory, bytes, cell_bytes);
  return memory;
}

void emulator_free(void* memory) {
  emulator::global_shadow().remove(memory);
  std::free(memory);
}

void emulator_upload(void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  emulator::global_shadow().mark_written(to, bytes);
}

void emulator_order(unsigned seed, int late_copies, int count_conflicts) {
  emulator::Machine::get().order = {seed, late_copies != 0, count_conflicts != 0};
}

// Extra cycles at the banks of shared memory since the last call, "FILE:LINE COUNT" a line; valid until the next call.
const char* emulator_conflicts() {
  static std::string text;
  text.clear();
  for (const auto& [line, count] : emulator::shared_shadow().take_conflicts())
    text += line + " " + std::to_string(count) + "\n";
  return text.c_str();
}

// 0, or -1 for a kernel that is not there, -2 for arguments of another size, -3 for other threads or shared memory than
// the kernel's.
int emulator_launch(const char* name, const void* arguments, size_t argument_bytes, const int* grid, int threads,
                    int shared_bytes) {
  for (const emulator::Kernel& kernel : emulator::kernels()) {
    if (std::strcmp(kernel.name, name) != 0) continue;
    if (kernel.argument_bytes != argument_bytes) return -2;
    if (kernel.threads != threads || kernel.shared_bytes != shared_bytes) return -3;
    const int size[3] = {grid[0], grid[1], grid[2]};
    emulator::Machine::get().launch(size, threads, shared_bytes, [&] { kernel.run(arguments); });
    return 0;
  }
  return -1;
}

// Faults since the last call; valid until the next one.
const char* emulator_faults() {
  static std::string text;
  text = emulator::Machine::get().take_faults();
  return text.c_str();
}

int emulator_num_kernels() { return static_cast<int>(emulator::kernels().size()); }
const char* emulator_kernel(int index, int* threads, int* shared_bytes, int* argument_bytes) {
  const emulator::Kernel& kernel = emulator::kernels()[static_cast<size_t>(index)];
  *threads = kernel.threads;
  *shared_bytes = kernel.shared_bytes;
  *argument_bytes = static_cast<int>(kernel.argument_bytes);
  return kernel.name;
}

}  // extern "C"
