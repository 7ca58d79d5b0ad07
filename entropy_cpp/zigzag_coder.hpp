// DCVC-UF's payloads: one to eight coders, tables in zigzag order. Source: docs/entropy-coding.md, "Zigzag".
// No function here reads or writes outside the spans that it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_cpp/frame_coder.hpp"

namespace dcvc::entropy {

constexpr int kMaxZigzagCoders = 8;

// One to 256 rows. Entry e of a row stands for the symbol 0, 1, -1, 2, -2, .. of that place; the last entry is the
// escape.
class ZigzagTable {
 public:
  // cdf: num_rows x width, zero padded; lengths: num_rows, odd. Throws TableError.
  ZigzagTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths);

  struct Row {
    uint32_t first_entry;
    uint32_t escape;  // index of the escape entry = number of regular entries
  };

  size_t num_rows() const { return rows_.size(); }
  const Row& row(size_t index) const { return rows_[index]; }
  const EncodeEntry& entry(const Row& row, uint32_t index) const { return entries_[row.first_entry + index]; }
  const uint32_t* cumulative(const Row& row) const { return cumulative_.data() + row.first_entry; }
  // The entry that holds the first slot of a bucket. A search starts there.
  uint32_t first_guess(size_t row_index, uint32_t slot) const {
    return buckets_[row_index << kBucketBits | slot >> (kProbabilityBits - kBucketBits)];
  }

 private:
  void add_row(const int32_t* cdf, size_t width, int32_t length);

  std::vector<Row> rows_;
  std::vector<EncodeEntry> entries_;
  std::vector<uint32_t> cumulative_;
  std::vector<uint8_t> buckets_;
};

// A run of symbols with the table row of each symbol. The caller sees to rows[i] < table->num_rows().
struct ZigzagPart {
  const ZigzagTable* table;
  const int8_t* symbols;
  const uint8_t* rows;
  size_t num_symbols;
};

// Returns the payload of `num_coders` coders, 1 to 8.
std::vector<uint8_t> encode_zigzag(const std::vector<ZigzagPart>& parts, int num_coders);

// Decodes a payload part by part; the states live on between calls. After the first error every call returns that
// error.
class ZigzagDecoder {
 public:
  ZigzagDecoder(const uint8_t* data, size_t size, int num_coders);

  // Fills symbols[0..num_symbols). Every row index must be below table.num_rows(). On an error the symbols are
  // unspecified.
  Status decode(const ZigzagTable& table, const uint8_t* rows, size_t num_symbols, int8_t* symbols);

  // Checks that every state is back at its start value, that the groups hold all bytes, and that partners meet by the
  // merge rule.
  Status finish();

 private:
  struct Coder {
    Chain<ByteRans, 1> chain;
    size_t group_size;
  };
  Status read_groups(const uint8_t* data, size_t size, int num_coders);
  void add_coder(const uint8_t* begin, size_t size, bool reversed);

  Status status_ = Status::kOk;
  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<Coder> coders_;
};

}  // namespace dcvc::entropy
