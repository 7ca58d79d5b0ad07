// Any bytes as a frame's symbols in every format: decoding ends, and reads nothing beside the bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_cpp/frame_coder.hpp"

namespace ec = dcvc::entropy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A peaked row, a flat one and one whose escape is likely.
  const int32_t cdf[3][5] = {{0, 10, 65000, 65520, 65536}, {0, 16384, 32768, 49152, 65536}, {0, 100, 200, 300, 65536}};
  const int32_t lengths[3] = {5, 5, 5}, offsets[3] = {-1, -1, -1};
  const ec::CodingTable table(&cdf[0][0], 3, 5, lengths, offsets);
  if (size < 2) return 0;
  const size_t num_symbols = data[0] * size_t{20};
  std::vector<uint8_t> rows(num_symbols);
  for (size_t i = 0; i < num_symbols; ++i) rows[i] = static_cast<uint8_t>((i * (data[1] | 1u) >> 3) % 3);
  const std::vector<uint8_t> bytes(data + 2, data + size);  // of their own, so that a byte read beside them is seen
  std::vector<int8_t> symbols(num_symbols);
  for (const auto format :
       {ec::Format::kPublishedOne, ec::Format::kPublishedTwo, ec::Format::kPartitioned, ec::Format::kCompact}) {
    ec::FrameDecoder decoder(bytes.data(), bytes.size(), format);
    if (decoder.decode(table, rows.data(), num_symbols, symbols.data()) == ec::Status::kOk) decoder.finish();
  }
  return 0;
}
