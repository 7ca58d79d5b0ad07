#include <algorithm>

#include "frame_coder.hpp"

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

namespace {

// A run of symbols to decode; advances as batches are done.
struct Span {
  const uint8_t* rows;
  int8_t* symbols;
  size_t num_symbols;
};

// `states` and `position` are updated on success only.
template <class Rans, int N>
Status decode_span(Chain<Rans, N>& chain, const CodingTable& table, const Span& span) {
  static_assert(kBatchSymbols % N == 0);
  if (span.num_symbols == 0) return Status::kOk;
  if (!chain.started) {
    const Status status = chain.start();
    if (status != Status::kOk) return status;
  }
  typename Rans::State x[N];
  std::copy(chain.x, chain.x + N, x);
  const uint8_t* in = chain.in;
  bool good = true;
  size_t i = 0;
  while (i + kBatchSymbols <= span.num_symbols) {
    for (size_t stop = i + kBatchSymbols; i < stop; i += N) {
      for (int lane = 0; lane < N; ++lane) good &= decode_symbol<Rans>(x[lane], in, table, span.rows[i + lane], span.symbols[i + lane]);
    }
    // One look at the end a batch: the padding behind it takes whatever a batch can read.
    if (in > chain.end) return Status::kTruncated;
    if (!good) return Status::kCorruptEscape;
  }
  for (size_t lane = 0; i < span.num_symbols; ++i, lane = lane + 1 == N ? 0 : lane + 1) {
    good &= decode_symbol<Rans>(x[lane], in, table, span.rows[i], span.symbols[i]);
  }
  if (in > chain.end) return Status::kTruncated;
  if (!good) return Status::kCorruptEscape;
  std::copy(x, x + N, chain.x);
  chain.in = in;
  return Status::kOk;
}

}  // namespace

FrameDecoder::FrameDecoder(const uint8_t* data, size_t size, Format format) : format_(format), size_(size) {
  if (format == Format::kPartitioned) {
    status_ = read_partitions(data, size);
    return;
  }
  buffers_.reserve(2);
  byte_chains_.emplace_back(keep(data, size), size);
  if (format == Format::kReferenceTwo) byte_chains_.emplace_back(keep(data, size, true), size);
}

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

Status FrameDecoder::decode(const CodingTable& table, const uint8_t* rows, size_t num_symbols, int8_t* symbols) {
  if (status_ != Status::kOk || num_symbols == 0) return status_;
  const size_t count = byte_chains_.size() + lane_chains_.size();
  if (count == 0) return status_ = Status::kTruncated;
  for (size_t index = 0; index < count && status_ == Status::kOk; ++index) {
    const size_t low = num_symbols * index / count;
    const size_t high = num_symbols * (index + 1) / count;
    const Span span{rows + low, symbols + low, high - low};
    status_ = lane_chains_.empty() ? decode_span(byte_chains_[index], table, span) : decode_span(lane_chains_[index], table, span);
  }
  return status_;
}

Status FrameDecoder::finish_two() const {
  // The strings of both coders follow from what they used; the merge rule must give back exactly the bytes that came.
  const size_t first = byte_chains_[0].used();
  const size_t second = byte_chains_[1].used();
  if (first + second < size_) return Status::kUnusedBytes;
  const uint8_t* begin = byte_chains_[0].in - first;
  const uint8_t* mirrored = byte_chains_[1].in - second;
  return first + second - shared_tail(begin, first, mirrored, second) == size_ ? Status::kOk : Status::kCorruptTail;
}

Status FrameDecoder::finish() {
  const bool two = format_ == Format::kReferenceTwo;
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
