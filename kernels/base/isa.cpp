#include "kernels/base/isa.hpp"

#include <algorithm>
#include <iterator>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace dcvc {
namespace {

constexpr const char* kNames[] = {"scalar", "sse2", "avx2", "avx512", "amx", "neon"};  // by rank

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

// AMX tiles need three things: a processor that has them, an operating system that saves their state, and a permission
// that Linux grants a process on request.
bool has_amx() {
#if defined(__linux__)
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

}  // namespace

bool has_isa(const std::string& name) {
  if (name == "scalar") return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (name == "sse2") return true;  // every x86-64 has it
  if (name == "avx2") return __builtin_cpu_supports("avx2") != 0;
  if (name == "avx512") return has_avx512();
  if (name == "amx") return has_amx();
#elif defined(__aarch64__)
  if (name == "neon") return true;  // every 64-bit Arm has it
#endif
  return false;
}

int rank_of_isa(const std::string& name) {
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  return found == std::end(kNames) ? -1 : static_cast<int>(found - std::begin(kNames));
}

}  // namespace dcvc
