// Codes the symbols of one frame to bytes and back, in the two byte forms of the published codec, in partitions and in
// the compact form. Byte layouts: docs/entropy-coding.md. No function here reads or writes outside the spans that it
// is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_cpp/range_coder.hpp"
#include "entropy_cpp/rans.hpp"
#include "entropy_cpp/tables.hpp"

namespace dcvc::entropy {

enum class Format { kPublishedOne, kPublishedTwo, kPartitioned, kCompact };

enum class Status {
  kOk,
  kTruncated,
  kCorruptState,
  kCorruptEscape,
  kUnusedBytes,
  kCorruptHeader,
  kCorruptTail,
  kNotShortest
};

// A part of a sentence for users, without a full stop.
const char* describe(Status status);

// States of an interleaved partition. 8 and 16 states were measured: they are no faster and cost bytes.
constexpr int kNumLanes = 4;
constexpr int kMaxLog2Partitions = 6;
constexpr size_t kMinInterleavedSymbols = 65536;  // fewer symbols do not repay the bytes of more states

// A run of symbols with the table row of each symbol. The caller sees to rows[i] < table->num_rows() (check_rows).
struct Part {
  const CodingTable* table;
  const int8_t* symbols;
  const uint8_t* rows;
  size_t num_symbols;
};

// The layout of a kPartitioned frame.
struct Layout {
  bool interleaved;     // kNumLanes word states a partition, else one byte state
  int log2_partitions;  // 0..6
};

// The layout that the encoder takes for a frame of num_symbols.
Layout choose_layout(size_t num_symbols);

// True where every row index is below num_rows.
bool check_rows(const uint8_t* rows, size_t num_symbols, size_t num_rows);

// Returns the payload of one frame.
std::vector<uint8_t> encode_frame(const std::vector<Part>& parts, Format format);

// Returns the kPartitioned payload of one frame in a given layout, for tests and measurements.
std::vector<uint8_t> encode_partitioned(const std::vector<Part>& parts, Layout layout);

// The number of bytes that the two strings of the two-coder form share at their ends (the published codec's merge
// rule).
size_t shared_tail(const uint8_t* first, size_t first_size, const uint8_t* second, size_t second_size);

// Returns the two-coder form: the first string, then the second string reversed without the tail that both share.
std::vector<uint8_t> merge_two(std::vector<uint8_t> first, const std::vector<uint8_t>& second);

// N states that share one run of bytes. kReaderPadding bytes after [begin, end) must be readable too.
template <class Rans, int N>
struct Chain {
  typename Rans::State x[N] = {};
  const uint8_t* in = nullptr;
  const uint8_t* end = nullptr;
  size_t size = 0;
  bool started = false;

  Chain(const uint8_t* begin, size_t num_bytes) : in(begin), end(begin + num_bytes), size(num_bytes) {}
  Status start();
  Status finish(bool must_use_all) const;
  size_t used() const { return size - static_cast<size_t>(end - in); }
};

// Decodes a frame part by part; the states live on between calls. After the first error every call returns that error.
class FrameDecoder {
 public:
  FrameDecoder(const uint8_t* data, size_t size, Format format);
  // Decodes kCompact, starting from the state of a RangeDecoder of the same bytes; range >= kMinRange.
  FrameDecoder(const uint8_t* data, size_t size, uint64_t position, uint64_t value, uint64_t range);

  // Fills symbols[0..num_symbols). Every row index must be below table.num_rows(). On an error the symbols are
  // unspecified.
  Status decode(const CodingTable& table, const uint8_t* rows, size_t num_symbols, int8_t* symbols);

  // Checks that every state is back at its start value and that all bytes were used. For kCompact it checks that an
  // encoder makes exactly these bytes.
  Status finish();

 private:
  Status read_partitions(const uint8_t* data, size_t size);
  const uint8_t* keep(const uint8_t* begin, size_t size, bool reversed = false);
  Status finish_two() const;

  Format format_;
  Status status_ = Status::kOk;
  size_t size_;
  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<Chain<ByteRans, 1>> byte_chains_;
  std::vector<Chain<WordRans, kNumLanes>> lane_chains_;
  RangeDecoder range_decoder_{nullptr, 0};  // of kCompact
};

}  // namespace dcvc::entropy
