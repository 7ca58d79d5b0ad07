// Any bytes as the motion of three pictures: they are refused or are legal motion, which comes back when it is coded.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "kernels/motion/vector_coder.hpp"

namespace mo = dcvc::motion;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const int rows = 2 + 2 * (data[0] % 4), columns = 2 + 2 * (data[1] % 4);
  data += 2, size -= 2;
  mo::VectorCoder decoder, encoder, second_decoder;
  for (int picture = 0; picture < 3; ++picture) {
    const size_t part = picture < 2 ? size / 3 : size - 2 * (size / 3);
    const auto motion = decoder.decode(data, part, rows, columns);
    if (!motion) return 0;
    for (const auto* vectors : {&motion->vectors, &motion->tracks}) {
      for (const mo::Vector vector : *vectors) {
        if (std::abs(vector.x) > mo::kMaxVector || std::abs(vector.y) > mo::kMaxVector) std::abort();
      }
    }
    const auto bytes = encoder.encode(*motion);
    const auto again = second_decoder.decode(bytes.data(), bytes.size(), rows, columns);
    if (!again || !(again->vectors == motion->vectors) || again->blends != motion->blends) std::abort();
    data += part;
  }
  return 0;
}
