// Integer probability tables in the shapes that the inner loops of encoder and decoder read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace dcvc::entropy {

constexpr int kProbabilityBits = 16;
constexpr uint32_t kProbabilityScale = 1u << kProbabilityBits;
// The symbol search divides a row's cumulative range into 256 buckets. 128 buckets were measured: they are slower.
constexpr int kBucketBits = 8;
constexpr int kNumBuckets = 1 << kBucketBits;
constexpr uint32_t kBucketWidth = kProbabilityScale / kNumBuckets;
constexpr int kMaxRows = 256;  // row indices are bytes

// Thrown for a table that breaks the rules. That is a caller's mistake, never a property of a stream.
class TableError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// The numbers by which the encoder codes one entry without a division:
// x -> x + bias + mulhi(x, reciprocal) * (65536 - freq)  ==  (x / freq) * 65536 + x % freq + start, for 1 <= x < 2^48.
struct EncodeEntry {
  uint64_t reciprocal;
  uint32_t bias;
  uint32_t freq;
};

// The encoder's form of an entry that covers cumulative values [start, end), end > start.
inline EncodeEntry encode_entry_of(uint32_t start, uint32_t end) {
  const uint32_t freq = end - start;
  // ceil(2^64 / freq) does not fit 64 bits for freq 1. With 2^64 - 1 in its place mulhi gives x - 1, and the bias makes
  // up for that.
  if (freq == 1) return {UINT64_MAX, start + kProbabilityScale - 1, freq};
  return {UINT64_MAX / freq + 1, start, freq};
}

struct RowInfo {
  uint32_t first_entry;  // of this row in the entry and cumulative arrays
  int16_t offset;        // symbol value of entry 0
  uint16_t escape;       // index of the escape entry = number of regular entries
};

// A row's most probable regular entry and its two neighbours. span = 0 means that the three hold too little of the mass
// for a search by the centre. All fields are zero if the most probable entry has no regular entry on both sides.
struct CentreInfo {
  uint16_t start[3];
  uint16_t freq[3];
  uint16_t span;
  int8_t symbol;  // of the first of the three
};

// A row's most probable regular entry and the entries beside it, in the 16 bytes that decode_peaked reads. A neighbour
// is start | freq << 16, with freq 0 if the row has no such regular entry.
struct PeakInfo {
  uint16_t start;
  uint16_t freq;
  uint32_t lower;
  uint32_t upper;
  uint16_t span;  // mass of all three, from the lower one's start on
  int8_t symbol;  // of the most probable entry
};

// Plain pointers into a table. Loops work on a copy: symbols are bytes, and the compiler must assume that a store of a
// byte changes a vector's pointers, so it would load these pointers again for every symbol.
struct TableView {
  const RowInfo* rows;
  const EncodeEntry* entries;
  const uint32_t* cumulative;
  const CentreInfo* centres;
  const PeakInfo* peaks;
  // Bucket b of row r holds start << 16 | freq if all of it lies in one regular entry, else 0: then a search follows.
  const uint32_t* buckets;
  // The symbol of the bucket's first entry, or of the last regular entry if the first one is the escape.
  const int8_t* bucket_symbols;
};

// One to 256 rows. Row r has entries 0..escape; entry e covers cumulative values [c[e], c[e + 1]) of 0..65535.
class CodingTable {
 public:
  // cdf: num_rows x width, zero padded; lengths and offsets: num_rows. Throws TableError.
  CodingTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths, const int32_t* offsets);

  size_t num_rows() const { return rows_.size(); }
  TableView view() const {
    return {rows_.data(),  entries_.data(), cumulative_.data(),    centres_.data(),
            peaks_.data(), buckets_.data(), bucket_symbols_.data()};
  }

 private:
  void add_row(const int32_t* cdf, size_t width, int32_t length, int32_t offset);
  void fill_buckets(const RowInfo& row);
  uint32_t most_probable(const RowInfo& row) const;
  void add_peak(const RowInfo& row);
  void add_centre(const RowInfo& row);

  std::vector<RowInfo> rows_;
  std::vector<EncodeEntry> entries_;
  std::vector<uint32_t> cumulative_;
  std::vector<CentreInfo> centres_;
  std::vector<PeakInfo> peaks_;
  std::vector<uint32_t> buckets_;
  std::vector<int8_t> bucket_symbols_;
};

}  // namespace dcvc::entropy
