#include <algorithm>
#include <cstring>

#include "entropy_cpp/compact.hpp"
#include "entropy_cpp/decode_peaked.hpp"
#include "entropy_cpp/frame_coder.hpp"

namespace dcvc::entropy {

const char* describe(Status status) {
  switch (status) {
    case Status::kOk:
      return "no error";
    case Status::kTruncated:
      return "its bytes end before its symbols do";
    case Status::kCorruptState:
      return "a coder state is outside its range or does not end at its start value";
    case Status::kCorruptEscape:
      return "an escape code stands for no 8-bit symbol";
    case Status::kUnusedBytes:
      return "bytes are left over after the last symbol";
    case Status::kCorruptHeader:
      return "its partition header is not valid";
    case Status::kCorruptTail:
      return "the two coders do not meet as they should";
    case Status::kNotShortest:
      return "its bytes are not the shortest for its symbols";
  }
  return "unknown error";
}

template <class Rans, int N>
Status Chain<Rans, N>::start() {
  started = true;
  if (size < static_cast<size_t>(N) * Rans::kStateBytes) return Status::kTruncated;
  for (auto& state : x) {
    state = load_state<Rans>(in);
    if (state < Rans::kLower || state >> Rans::kUnitBits >= Rans::kLower) return Status::kCorruptState;
  }
  return Status::kOk;
}

template <class Rans, int N>
Status Chain<Rans, N>::finish(bool must_use_all) const {
  if (!started) return must_use_all && size != 0 ? Status::kUnusedBytes : Status::kOk;
  for (const auto& state : x) {
    if (state != Rans::kLower) return Status::kCorruptState;
  }
  return must_use_all && in != end ? Status::kUnusedBytes : Status::kOk;
}

template struct Chain<ByteRans, 1>;

namespace {

constexpr size_t kBlockSymbols = 1024;  // the decoder chooses a search strategy once a block of so many symbols

enum class Search { kBucket, kCentre };

template <class Rans, Search kSearch>
DCVC_INLINE bool decode_symbol(typename Rans::State& x, const uint8_t*& in, const TableView& table, size_t row_index,
                               int8_t& symbol) {
  if constexpr (kSearch == Search::kCentre) return decode_by_centre<Rans>(x, in, table, row_index, symbol);
  return decode_by_bucket<Rans>(x, in, table, row_index, symbol);
}

// Symbols of K chains that advance together. Those of chain k start at rows + k * stride and symbols + k * stride.
struct Span {
  const uint8_t* rows;
  int8_t* symbols;
  size_t num_symbols;
  size_t stride;
};

template <class Rans, int N, int K, Search kSearch>
Status decode_block(Chain<Rans, N>* chains, const TableView& table, const Span& span) {
  static_assert(kBatchSymbols % N == 0);
  typename Rans::State x[K][N];
  const uint8_t* in[K];
  for (int k = 0; k < K; ++k) {
    std::copy(chains[k].x, chains[k].x + N, x[k]);
    in[k] = chains[k].in;
  }
  bool good = true;
  for (size_t i = 0; i < span.num_symbols; i += kBatchSymbols) {
    // Rows and symbols are copied in whole batches. Otherwise the processor often takes a load of one chain for a load
    // from the address of another chain's store, because the low 12 bits are equal, and makes the load wait.
    const size_t count = std::min(kBatchSymbols, span.num_symbols - i);
    uint8_t rows[K][kBatchSymbols] = {};
    int8_t symbols[K][kBatchSymbols];
    for (int k = 0; k < K; ++k) std::memcpy(rows[k], span.rows + i + k * span.stride, count);
    const auto decode = [&](int k, size_t lane, size_t at) {
      good &= decode_symbol<Rans, kSearch>(x[k][lane], in[k], table, rows[k][at], symbols[k][at]);
    };
    size_t at = 0;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1
#endif
    for (; at + N <= count; at += N) {
      for (int lane = 0; lane < N; ++lane) {
        for (int k = 0; k < K; ++k) decode(k, lane, at + lane);
      }
    }
    for (size_t lane = 0; at < count; ++at, ++lane) {
      for (int k = 0; k < K; ++k) decode(k, lane, at);
    }
    for (int k = 0; k < K; ++k) {
      // One check of the end a batch is enough: the padding after the end holds all that a batch can read.
      if (in[k] > chains[k].end) return Status::kTruncated;
      std::memcpy(span.symbols + i + k * span.stride, symbols[k], count);
    }
    if (!good) return Status::kCorruptEscape;
  }
  for (int k = 0; k < K; ++k) {
    std::copy(x[k], x[k] + N, chains[k].x);
    chains[k].in = in[k];
  }
  return Status::kOk;
}

// Whether a branch on each row's most probable symbol is the fastest search in a block. Every 16th row is looked at.
// The limits are measured: the branch pays where these symbols have 61 % of the mass. Two chains hide each other's
// latency, so their search by the centre is faster up to 82 %; but where only some rows have a centre, that search
// mispredicts, and 61 % holds again.
bool mostly_peaked(const TableView& table, const uint8_t* rows, size_t num_symbols, int num_chains) {
  uint64_t mass = 0;
  uint64_t count = 0;
  bool all_centred = true;
  for (size_t i = 0; i < num_symbols; i += 16, ++count) {
    mass += table.peaks[rows[i]].freq;
    all_centred &= table.centres[rows[i]].span != 0;
  }
  return mass >= count * (num_chains > 1 && all_centred ? 54000 : 40000);
}

template <class Rans, int N, int K>
Status decode_span(Chain<Rans, N>* chains, const TableView& table, Span span) {
  if (span.num_symbols == 0) return Status::kOk;
  for (int k = 0; k < K; ++k) {
    const Status status = chains[k].started ? Status::kOk : chains[k].start();
    if (status != Status::kOk) return status;
  }
  if constexpr (N > 1) {
    return decode_block<Rans, N, K, Search::kBucket>(chains, table, span);
  } else {
    Status status = Status::kOk;
    for (size_t left = span.num_symbols; left > 0 && status == Status::kOk; left -= span.num_symbols) {
      span.num_symbols = std::min(left, kBlockSymbols);
      const size_t num_batches =
          mostly_peaked(table, span.rows, span.num_symbols, K) ? count_peaked_batches(span.num_symbols, left) : 0;
      if (num_batches == 0) {
        status = decode_block<Rans, N, K, Search::kCentre>(chains, table, span);
      } else {
        // The chains run one after the other: two in one loop need more registers than there are, and are slower.
        span.num_symbols = num_batches * kBatchSymbols;
        for (int k = 0; k < K && status == Status::kOk; ++k) {
          status = decode_peaked<Rans>(chains[k], table, span.rows + k * span.stride, span.symbols + k * span.stride,
                                       num_batches);
        }
      }
      span.rows += span.num_symbols;
      span.symbols += span.num_symbols;
    }
    return status;
  }
}

}  // namespace

FrameDecoder::FrameDecoder(const uint8_t* data, size_t size, Format format) : format_(format), size_(size) {
  if (format == Format::kPartitioned) {
    status_ = read_partitions(data, size);
    return;
  }
  if (format == Format::kCompact) {
    range_decoder_ = RangeDecoder(keep(data, size), size);
    return;
  }
  buffers_.reserve(2);
  byte_chains_.emplace_back(keep(data, size), size);
  if (format == Format::kPublishedTwo) byte_chains_.emplace_back(keep(data, size, true), size);
}

FrameDecoder::FrameDecoder(const uint8_t* data, size_t size, uint64_t position, uint64_t value, uint64_t range)
    : format_(Format::kCompact), size_(size), range_decoder_(keep(data, size), size, position, value, range) {}

const uint8_t* FrameDecoder::keep(const uint8_t* begin, size_t size, bool reversed) {
  std::vector<uint8_t>& copy = buffers_.emplace_back(size + kReaderPadding, uint8_t{0});
  if (reversed) {
    std::reverse_copy(begin, begin + size, copy.begin());
  } else {
    std::copy(begin, begin + size, copy.begin());
  }
  return copy.data();
}

Status FrameDecoder::read_partitions(const uint8_t* data, size_t size) {
  if (size == 0) return Status::kOk;
  const uint8_t header = data[0];
  const int log2_partitions = header & 7;
  if (header > 15 || log2_partitions > kMaxLog2Partitions) return Status::kCorruptHeader;
  const bool interleaved = (header & 8) != 0;
  const size_t count = size_t{1} << log2_partitions;
  size_t position = 1;
  std::vector<size_t> sizes(count);
  size_t total = 0;
  for (size_t index = 0; index + 1 < count; ++index) {
    size_t value = 0;
    for (int shift = 0;; shift += 7) {
      if (shift > 28 || position >= size) return Status::kCorruptHeader;
      const uint8_t byte = data[position++];
      value |= static_cast<size_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    if (value > size - total) return Status::kCorruptHeader;
    sizes[index] = value;
    total += value;
  }
  if (total > size - position) return Status::kCorruptHeader;
  sizes[count - 1] = size - position - total;
  buffers_.reserve(1);
  const uint8_t* begin = keep(data + position, size - position);
  for (const size_t num_bytes : sizes) {
    if (interleaved) {
      lane_chains_.emplace_back(begin, num_bytes);
    } else {
      byte_chains_.emplace_back(begin, num_bytes);
    }
    begin += num_bytes;
  }
  return Status::kOk;
}

Status FrameDecoder::decode(const CodingTable& coding_table, const uint8_t* rows, size_t num_symbols, int8_t* symbols) {
  if (status_ != Status::kOk || num_symbols == 0) return status_;
  if (format_ == Format::kCompact)
    return status_ = decode_compact(range_decoder_, coding_table.view(), rows, num_symbols, symbols);
  const size_t count = byte_chains_.size() + lane_chains_.size();
  if (count == 0) return status_ = Status::kTruncated;
  const TableView table = coding_table.view();
  size_t common = 0;
  if (byte_chains_.size() == 2) {
    // Two chains in one loop hide each other's latency. The second chain may have one symbol more.
    common = num_symbols / 2;
    status_ = decode_span<ByteRans, 1, 2>(byte_chains_.data(), table, {rows, symbols, common, common});
  }
  for (size_t index = 0; index < count && status_ == Status::kOk; ++index) {
    const size_t low = num_symbols * index / count + common;
    const size_t high = num_symbols * (index + 1) / count;
    const Span span{rows + low, symbols + low, high - low, 0};
    status_ = lane_chains_.empty() ? decode_span<ByteRans, 1, 1>(&byte_chains_[index], table, span)
                                   : decode_span<WordRans, kNumLanes, 1>(&lane_chains_[index], table, span);
  }
  return status_;
}

Status FrameDecoder::finish_two() const {
  // The bytes that each coder used are its string; the merge of both strings must be exactly the bytes that came.
  const size_t first = byte_chains_[0].used();
  const size_t second = byte_chains_[1].used();
  if (first + second < size_) return Status::kUnusedBytes;
  const uint8_t* begin = byte_chains_[0].in - first;
  const uint8_t* mirrored = byte_chains_[1].in - second;
  return first + second - shared_tail(begin, first, mirrored, second) == size_ ? Status::kOk : Status::kCorruptTail;
}

Status FrameDecoder::finish() {
  if (format_ == Format::kCompact && status_ == Status::kOk && !range_decoder_.is_whole()) {
    status_ = range_decoder_.has_bytes_left() ? Status::kUnusedBytes : Status::kNotShortest;
  }
  const bool two = format_ == Format::kPublishedTwo;
  for (const auto& chain : byte_chains_) {
    if (status_ == Status::kOk) status_ = chain.finish(!two);
  }
  for (const auto& chain : lane_chains_) {
    if (status_ == Status::kOk) status_ = chain.finish(true);
  }
  if (status_ == Status::kOk && two) status_ = finish_two();
  return status_;
}

}  // namespace dcvc::entropy
