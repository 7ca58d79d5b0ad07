#include "kernels/cpu/isa.hpp"

#include "kernels/base/isa.hpp"

namespace dcvc::kernels {
namespace {

const Dispatch<KernelTable>& dispatch() {
  static const Dispatch<KernelTable> one({
      &scalar_kernels(),
#if defined(__x86_64__)
      &avx2_kernels(),
      &avx512_kernels(),
#if defined(DCVC_COMPILER_HAS_AMX)
      &amx_kernels(),
#endif
#elif defined(__aarch64__)
      &neon_kernels(),
#endif
  });
  return one;
}

}  // namespace

std::vector<std::string> usable_isas() { return names_of(dispatch().usable()); }

const KernelTable* kernels_for(const std::string& name) { return dispatch().find(name); }

}  // namespace dcvc::kernels
