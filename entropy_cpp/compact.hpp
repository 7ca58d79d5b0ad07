// Compact payloads: one range coder codes all symbols of a frame, after the vectors, filters and floor that it has
// coded before. Source: docs/entropy-coding.md, "Compact".
#pragma once

#include <vector>

#include "entropy_cpp/frame_coder.hpp"
#include "entropy_cpp/range_coder.hpp"

namespace dcvc::entropy {

// Returns the payload: the decisions that `coder` has coded, then the symbols.
std::vector<uint8_t> encode_compact(const std::vector<Part>& parts, RangeEncoder coder);

// Decodes one part; returns kOk or kCorruptEscape. Every row index must be below the table's number of rows.
Status decode_compact(RangeDecoder& decoder, const TableView& table, const uint8_t* rows, size_t num_symbols,
                      int8_t* symbols);

}  // namespace dcvc::entropy
