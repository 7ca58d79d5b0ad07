#include "kernels/cpu/isa.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace dcvc::kernels {
namespace {

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

// Tiles need the processor, the operating system's state saving, and a permission that Linux grants a process on
// request.
[[maybe_unused]] bool has_amx() {
#if defined(__linux__) && defined(DCVC_COMPILER_HAS_AMX)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const unsigned tile = 1u << 24, int8 = 1u << 25;
  if ((d & tile) == 0 || (d & int8) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

std::vector<const KernelTable*> find_tables() {
  std::vector<const KernelTable*> tables{&scalar_kernels()};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) tables.push_back(&avx2_kernels());
  if (has_avx512()) tables.push_back(&avx512_kernels());
#if defined(DCVC_COMPILER_HAS_AMX)
  if (has_amx()) tables.push_back(&amx_kernels());
#endif
#elif defined(__aarch64__)
  tables.push_back(&neon_kernels());
#endif
  return tables;
}

const std::vector<const KernelTable*>& tables() {
  static const std::vector<const KernelTable*> found = find_tables();
  return found;
}

}  // namespace

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : tables()) names.emplace_back(table->name);
  return names;
}

const KernelTable* kernels_for(const std::string& name) {
  if (name.empty()) return tables().back();
  for (const KernelTable* table : tables()) {
    if (name == table->name) return table;
  }
  return nullptr;
}

}  // namespace dcvc::kernels
