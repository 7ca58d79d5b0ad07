// Any bytes as the filters of two frames: they are refused or hold legal coefficients.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "kernels/filter/filter_coder.hpp"

namespace fi = dcvc::filter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fi::FilterCoder coder;
  for (const size_t part : {size / 2, size - size / 2}) {
    dcvc::RangeDecoder bytes(data, part);
    if (!coder.decode(bytes)) return 0;
    for (const auto& filter : coder.filters()) {
      for (const int8_t value : filter) {
        if (value < -fi::kMaxCoefficient) std::abort();
      }
    }
    data += part;
  }
  return 0;
}
