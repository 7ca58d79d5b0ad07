#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {

Coefficients::Coefficients(const Filter& filter) {
  for (size_t k = 0; k < kChromaTerms; ++k) {
    for (auto& pair : pairs[k / 2]) pair[k % 2] = filter[k];
  }
}

Dispatch<KernelTable>& dispatch() {
  static Dispatch<KernelTable> one({
      &kScalarKernels,
#if defined(__x86_64__)
      &kSse2Kernels,
      &kAvx2Kernels,
#elif defined(__aarch64__)
      &kNeonKernels,
#endif
  });
  return one;
}

}  // namespace dcvc::filter
