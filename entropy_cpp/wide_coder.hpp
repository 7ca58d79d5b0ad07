// The coder of 16-bit symbols, for published codecs whose latents may exceed 8 bits. One to 16 coders share a frame,
// and each makes a string of its own. The family decides how the strings stand in a payload. Source: docs/entropy-
// coding.md, "Wide symbols". No function here reads or writes outside the spans that it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "entropy_cpp/frame_coder.hpp"

namespace dcvc::entropy {

constexpr size_t kMaxWideCoders = 16;

// The two kinds of states of published codecs.
enum class WideKind {
  kLongWords,  // 63-bit state, 32-bit words, escapes in digits of four bits
  kBytes       // 31-bit state, bytes, escapes in digits of two bits
};

// One to 256 rows. Entry e of a row stands for the symbol offset + e; the last entry is the escape.
class WideTable {
 public:
  // cdf: num_rows x width, zero padded; lengths and offsets: num_rows. Throws TableError.
  WideTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths, const int32_t* offsets);

  struct Row {
    uint32_t first_entry;
    int32_t escape;  // index of the escape entry = number of regular entries
    int32_t offset;
  };

  size_t num_rows() const { return rows_.size(); }
  const Row& row(size_t index) const { return rows_[index]; }
  const uint32_t* cumulative(const Row& row) const { return cumulative_.data() + row.first_entry; }
  // The entry that holds the first slot of a bucket. A search starts there.
  uint32_t first_guess(size_t row_index, uint32_t slot) const {
    return buckets_[row_index << kBucketBits | slot >> (kProbabilityBits - kBucketBits)];
  }

 private:
  void add_row(const int32_t* cdf, size_t width, int32_t length, int32_t offset);

  std::vector<Row> rows_;
  std::vector<uint32_t> cumulative_;
  std::vector<uint16_t> buckets_;
};

// A run of symbols with the table row of each symbol. The caller sees to rows[i] < table->num_rows().
struct WidePart {
  const WideTable* table;
  const int16_t* symbols;
  const uint8_t* rows;
  size_t num_symbols;
};

// Returns the string of each coder. Coder k of n codes the k-th n-th of every part; the last one takes what remains.
std::vector<std::vector<uint8_t>> encode_wide(const std::vector<WidePart>& parts, WideKind kind, size_t num_coders);

// Decodes the strings part by part; the states live on between calls. After the first error every call returns that
// error.
class WideDecoder {
 public:
  WideDecoder(std::vector<std::vector<uint8_t>> strings, WideKind kind);

  // Fills symbols[0..num_symbols). Every row index must be below table.num_rows(). On an error the symbols are
  // unspecified.
  Status decode(const WideTable& table, const uint8_t* rows, size_t num_symbols, int16_t* symbols);

  // Checks that every state is back at its start value and that no bytes are left.
  Status finish();

 private:
  struct Coder {
    uint64_t x;
    const uint8_t* in;
    const uint8_t* end;
  };
  template <class Rans>
  Status start();
  template <class Rans>
  Status decode_with(const WideTable& table, const uint8_t* rows, size_t num_symbols, int16_t* symbols);

  WideKind kind_;
  Status status_ = Status::kOk;
  std::vector<std::vector<uint8_t>> strings_;
  std::vector<Coder> coders_;
};

}  // namespace dcvc::entropy
