#include "kernels/motion/kernel_table.hpp"

namespace dcvc::motion {

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

}  // namespace dcvc::motion
