// Compact payloads: all symbols of a frame by one range coder, behind whatever it coded before. Source:
// docs/entropy-coding.md, "Compact".
#pragma once

#include <vector>

#include "entropy_cpp/frame_coder.hpp"
#include "entropy_cpp/range_coder.hpp"

namespace dcvc::entropy {

// The payload: what `coder` has coded, then the symbols.
std::vector<uint8_t> encode_compact(const std::vector<Part>& parts, RangeEncoder coder);

// One part; kOk or kCorruptEscape. Every row index must be below the table's number of rows.
Status decode_compact(RangeDecoder& decoder, const TableView& table, const uint8_t* rows, size_t num_symbols,
                      int8_t* symbols);

}  // namespace dcvc::entropy
