#include "entropy_cpp/compact.hpp"

namespace dcvc::entropy {

namespace {

constexpr int kDigitBits = 2;

void encode_digit(RangeEncoder& coder, uint32_t digit) { coder.take(digit, digit + 1, kDigitBits); }

// Codes the digits that follow an escape entry, in decoding order.
void encode_escape_digits(RangeEncoder& coder, int value, int escape) {
  const uint32_t raw = static_cast<uint32_t>(value < 0 ? -2 * value - 1 : 2 * (value - escape));
  uint32_t digits = 0;
  while (raw >> (kDigitBits * digits) != 0) ++digits;
  for (uint32_t k = 0; k < digits / 3; ++k) encode_digit(coder, 3);
  encode_digit(coder, digits % 3);
  for (uint32_t d = 0; d < digits; ++d) encode_digit(coder, raw >> (kDigitBits * d) & 3);
}

// A decoder and the symbol that it found. The rare path returns both by value, so that the loop's own copy of the
// decoder stays in registers.
struct Found {
  RangeDecoder coder;
  int8_t symbol;
  bool good;
};

// Decodes a symbol that the bucket table cannot name: one of a bucket that holds a boundary, or an escape.
__attribute__((noinline)) Found decode_searching(RangeDecoder coder, const TableView& table, const RowInfo& row,
                                                 uint32_t slot, int first_guess) {
  const uint32_t* cumulative = table.cumulative + row.first_entry;
  uint32_t entry = static_cast<uint32_t>(first_guess - row.offset);
  while (slot >= cumulative[entry + 1]) ++entry;  // ends: the last cumulative value is above every slot
  coder.take(cumulative[entry], cumulative[entry + 1], kProbabilityBits);
  int8_t symbol = static_cast<int8_t>(row.offset + static_cast<int>(entry));
  if (entry < row.escape) return {coder, symbol, true};
  const bool good = read_escape(row, symbol, [&coder] {
    const uint32_t digit = coder.share(kDigitBits);
    coder.take(digit, digit + 1, kDigitBits);
    return digit;
  });
  return {coder, symbol, good};
}

}  // namespace

std::vector<uint8_t> encode_compact(const std::vector<Part>& parts, RangeEncoder coder) {
  for (const Part& part : parts) {
    const TableView table = part.table->view();
    for (size_t i = 0; i < part.num_symbols; ++i) {
      const RowInfo row = table.rows[part.rows[i]];
      const uint32_t* cumulative = table.cumulative + row.first_entry;
      const int value = part.symbols[i] - row.offset;
      const uint32_t entry = static_cast<uint32_t>(value) < row.escape ? static_cast<uint32_t>(value) : row.escape;
      coder.take(cumulative[entry], cumulative[entry + 1], kProbabilityBits);
      if (entry == row.escape) encode_escape_digits(coder, value, row.escape);
    }
  }
  return coder.finish();
}

Status decode_compact(RangeDecoder& decoder, const TableView& table, const uint8_t* rows, size_t num_symbols,
                      int8_t* symbols) {
  RangeDecoder coder = decoder;
  for (size_t i = 0; i < num_symbols; ++i) {
    const size_t row_index = rows[i];
    const uint32_t slot = coder.share(kProbabilityBits);
    const size_t bucket = row_index << kBucketBits | slot >> (kProbabilityBits - kBucketBits);
    const uint32_t packed = table.buckets[bucket];
    if (__builtin_expect(packed != 0, 1)) {
      const uint32_t start = packed >> 16;
      coder.take(start, start + (packed & 0xffff), kProbabilityBits);
      symbols[i] = table.bucket_symbols[bucket];
      continue;
    }
    const Found found = decode_searching(coder, table, table.rows[row_index], slot, table.bucket_symbols[bucket]);
    if (!found.good) return Status::kCorruptEscape;
    coder = found.coder;
    symbols[i] = found.symbol;
  }
  decoder = coder;
  return Status::kOk;
}

}  // namespace dcvc::entropy
