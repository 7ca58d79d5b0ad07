// The word-wise rANS coder of DCVC and DCVC-TCM: a 64-bit state, 32-bit words, symbols of up to 28 bits. Source:
// docs/entropy-coding.md, "Words". No function here reads or writes outside the spans that it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_cpp/frame_coder.hpp"

namespace dcvc::entropy {

constexpr size_t kMaxWordLength = 1 << 14;  // values of a row
// The largest magnitude of a symbol. The number of an escape then has 28 bits at most, whatever the row's offset is.
constexpr int32_t kMaxWordSymbol = (1 << 27) - 1 - static_cast<int32_t>(kMaxWordLength);

// One to 256 rows of up to 2^14 cumulative values. Entry e of a row stands for the symbol offset + e; the last entry
// is the escape.
class WordTable {
 public:
  // cdf: num_rows x width, zero padded; lengths and offsets: num_rows. Throws TableError.
  WordTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths, const int32_t* offsets);

  struct Row {
    uint32_t first;   // of the row's cumulative values
    uint32_t escape;  // index of the escape entry = number of regular entries
    int32_t offset;
  };

  size_t num_rows() const { return rows_.size(); }
  const Row& row(size_t index) const { return rows_[index]; }
  const uint32_t* cumulative(const Row& row) const { return cumulative_.data() + row.first; }

 private:
  std::vector<Row> rows_;
  std::vector<uint32_t> cumulative_;
};

// A run of symbols with the table row of each. The caller sees to rows[i] < table->num_rows().
struct WordPart {
  const WordTable* table;
  const int32_t* symbols;
  const uint8_t* rows;
  size_t num_symbols;
};

// True where every symbol's magnitude is at most kMaxWordSymbol.
bool check_symbols(const int32_t* symbols, size_t num_symbols);

// Returns one string: a multiple of four bytes, eight at least. The symbols pass check_symbols.
std::vector<uint8_t> encode_words(const std::vector<WordPart>& parts);

// Decodes a string part by part. After the first error every call returns that error.
class WordDecoder {
 public:
  // Copies the bytes.
  WordDecoder(const uint8_t* data, size_t size);

  // Fills symbols[0..num_symbols). Every row index must be below table.num_rows(). On an error the symbols are
  // unspecified.
  Status decode(const WordTable& table, const uint8_t* rows, size_t num_symbols, int32_t* symbols);

  // Checks that the state is back at its start value and that every word was used.
  Status finish();

 private:
  bool refill();
  bool read_raw(uint32_t& digit);
  Status decode_one(const WordTable& table, const WordTable::Row& row, int32_t& symbol);

  std::vector<uint32_t> words_;
  size_t next_ = 0;
  uint64_t state_ = 0;
  Status status_ = Status::kOk;
};

}  // namespace dcvc::entropy
