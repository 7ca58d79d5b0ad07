#include "entropy_cpp/zigzag_coder.hpp"

#include <algorithm>
#include <string>

#include "entropy_cpp/rans.hpp"

namespace dcvc::entropy {

namespace {

constexpr uint32_t kMaxPlace = 256;     // the place of the symbol -128
constexpr int32_t kMaxLength = 257;     // of a row, because its first guesses are bytes
constexpr size_t kGroupStartBytes = 4;  // each group but the first is named by a little-endian 32-bit start
constexpr size_t kSymbolBytes = 4;      // 16 bits for the escape entry and at most 12 raw bits

uint32_t place_of(int symbol) { return static_cast<uint32_t>(symbol > 0 ? 2 * symbol - 1 : -2 * symbol); }

int symbol_of(uint32_t place) {
  const int half = static_cast<int>(place >> 1);
  return (place & 1) != 0 ? half + 1 : -half;
}

struct Range {
  size_t begin;
  size_t end;
};

// The symbols of a part that coder `index` of `count` codes.
Range share_of(size_t num_symbols, size_t index, size_t count) {
  const size_t piece = num_symbols / count;
  return {piece * index, index + 1 == count ? num_symbols : piece * (index + 1)};
}

void encode_one(uint32_t& x, uint8_t*& out, const ZigzagTable& table, uint8_t row_index, int symbol) {
  const ZigzagTable::Row& row = table.row(row_index);
  const uint32_t place = place_of(symbol);
  if (place >= row.escape) {
    const uint32_t raw = place - row.escape;
    uint32_t digits = 0;
    while (raw >> (2 * digits) != 0) ++digits;
    for (uint32_t d = digits; d-- > 0;) encode_raw<ByteRans>(x, out, raw >> (2 * d) & 3);
    encode_raw<ByteRans>(x, out, digits % 3);
    for (uint32_t k = 0; k < digits / 3; ++k) encode_raw<ByteRans>(x, out, 3);
  }
  encode_entry<ByteRans>(x, out, table.entry(row, std::min(place, row.escape)));
}

std::vector<uint8_t> encode_coder(const std::vector<ZigzagPart>& parts, size_t index, size_t count) {
  size_t num_symbols = 0;
  for (const ZigzagPart& part : parts) {
    const Range range = share_of(part.num_symbols, index, count);
    num_symbols += range.end - range.begin;
  }
  std::vector<uint8_t> buffer(kSymbolBytes * num_symbols + ByteRans::kStateBytes + kWriterSlack);
  uint8_t* const end = buffer.data() + buffer.size();
  uint8_t* out = end;
  uint32_t x = ByteRans::kLower;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const Range range = share_of(part->num_symbols, index, count);
    for (size_t i = range.end; i-- > range.begin;) encode_one(x, out, *part->table, part->rows[i], part->symbols[i]);
  }
  flush_state<ByteRans>(x, out);
  return std::vector<uint8_t>(out, end);
}

uint32_t read_raw_digit(uint32_t& x, const uint8_t*& in) {
  const uint32_t digit = x & 3;
  x >>= 2;
  if (x < ByteRans::kLower) x = x << 8 | *in++;
  return digit;
}

// Decodes the next symbol. False if an escape stands for no symbol.
bool decode_one(uint32_t& x, const uint8_t*& in, const ZigzagTable& table, uint8_t row_index, int8_t& symbol) {
  const ZigzagTable::Row& row = table.row(row_index);
  const uint32_t* cumulative = table.cumulative(row);
  const uint32_t slot = x & (kProbabilityScale - 1);
  uint32_t place = table.first_guess(row_index, slot);
  while (slot >= cumulative[place + 1]) ++place;  // ends: the last cumulative value is above every slot
  x = (x >> kProbabilityBits) * (cumulative[place + 1] - cumulative[place]) + slot - cumulative[place];
  ByteRans::grow(x, in);
  if (place == row.escape) {
    uint32_t digits = 0;
    uint32_t piece = 3;
    while (piece == 3 && digits <= kMaxEscapeDigits) digits += piece = read_raw_digit(x, in);
    if (digits > kMaxEscapeDigits) return false;
    uint32_t raw = 0;
    for (uint32_t d = 0; d < digits; ++d) raw |= read_raw_digit(x, in) << (2 * d);
    place += raw;
    if (place > kMaxPlace) return false;
  }
  symbol = static_cast<int8_t>(symbol_of(place));
  return true;
}

}  // namespace

ZigzagTable::ZigzagTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths) {
  if (num_rows < 1 || num_rows > kMaxRows) {
    throw TableError("a coding table has 1 to 256 rows, not " + std::to_string(num_rows));
  }
  for (size_t r = 0; r < num_rows; ++r) add_row(cdf + r * width, width, lengths[r]);
}

void ZigzagTable::add_row(const int32_t* cdf, size_t width, int32_t length) {
  const std::string name = "table row " + std::to_string(rows_.size());
  if (length < 3 || static_cast<size_t>(length) > width || length > kMaxLength) {
    throw TableError(name + ": length " + std::to_string(length) + " is outside 3.." + std::to_string(width));
  }
  if (length % 2 == 0) throw TableError(name + ": as many positive as negative symbols make the length odd");
  if (cdf[0] != 0 || cdf[length - 1] != static_cast<int32_t>(kProbabilityScale)) {
    throw TableError(name + ": cumulative values must run from 0 to 65536");
  }
  const Row row{static_cast<uint32_t>(cumulative_.size()), static_cast<uint32_t>(length - 2)};
  for (int32_t e = 0; e + 1 < length; ++e) {
    if (cdf[e + 1] <= cdf[e]) throw TableError(name + ": cumulative values must rise strictly");
    entries_.push_back(encode_entry_of(static_cast<uint32_t>(cdf[e]), static_cast<uint32_t>(cdf[e + 1])));
    cumulative_.push_back(static_cast<uint32_t>(cdf[e]));
  }
  entries_.push_back({0, 0, 0});  // keeps entries_ and cumulative_ in step
  cumulative_.push_back(kProbabilityScale);
  rows_.push_back(row);
  uint32_t entry = 0;
  for (uint32_t low = 0; low < kProbabilityScale; low += kBucketWidth) {
    while (cumulative_[row.first_entry + entry + 1] <= low) ++entry;
    buckets_.push_back(static_cast<uint8_t>(entry));
  }
}

std::vector<uint8_t> encode_zigzag(const std::vector<ZigzagPart>& parts, int num_coders) {
  const size_t count = static_cast<size_t>(num_coders);
  std::vector<std::vector<uint8_t>> groups;
  for (size_t index = 0; index < count; index += 2) {
    std::vector<uint8_t> group = encode_coder(parts, index, count);
    if (index + 1 < count) group = merge_two(std::move(group), encode_coder(parts, index + 1, count));
    groups.push_back(std::move(group));
  }
  std::vector<uint8_t> payload;
  size_t start = 0;
  for (size_t g = 0; g + 1 < groups.size(); ++g) {
    start += groups[g].size();
    for (int shift = 0; shift < 32; shift += 8) payload.push_back(static_cast<uint8_t>(start >> shift));
  }
  for (const auto& group : groups) payload.insert(payload.end(), group.begin(), group.end());
  return payload;
}

ZigzagDecoder::ZigzagDecoder(const uint8_t* data, size_t size, int num_coders) {
  status_ = read_groups(data, size, num_coders);
}

void ZigzagDecoder::add_coder(const uint8_t* begin, size_t size, bool reversed) {
  std::vector<uint8_t>& copy = buffers_.emplace_back(size + kReaderPadding, uint8_t{0});
  if (reversed) {
    std::reverse_copy(begin, begin + size, copy.begin());
  } else {
    std::copy(begin, begin + size, copy.begin());
  }
  coders_.push_back({Chain<ByteRans, 1>(copy.data(), size), size});
}

Status ZigzagDecoder::read_groups(const uint8_t* data, size_t size, int num_coders) {
  const size_t count = static_cast<size_t>(num_coders);
  const size_t num_groups = (count + 1) / 2;
  const size_t header = kGroupStartBytes * (num_groups - 1);
  if (size < header) return Status::kTruncated;
  const uint8_t* const body = data + header;
  const size_t body_size = size - header;
  size_t begin = 0;
  for (size_t g = 0; g < num_groups; ++g) {
    size_t end = body_size;
    if (g + 1 < num_groups) {
      end = 0;
      for (size_t i = 0; i < kGroupStartBytes; ++i)
        end |= static_cast<size_t>(data[kGroupStartBytes * g + i]) << (8 * i);
    }
    if (end < begin || end > body_size) return Status::kCorruptHeader;
    add_coder(body + begin, end - begin, false);
    if (2 * g + 1 < count) add_coder(body + begin, end - begin, true);
    begin = end;
  }
  for (Coder& coder : coders_) {
    const Status status = coder.chain.start();
    if (status != Status::kOk) return status;
  }
  return Status::kOk;
}

Status ZigzagDecoder::decode(const ZigzagTable& table, const uint8_t* rows, size_t num_symbols, int8_t* symbols) {
  for (size_t index = 0; index < coders_.size() && status_ == Status::kOk; ++index) {
    Chain<ByteRans, 1>& chain = coders_[index].chain;
    const Range range = share_of(num_symbols, index, coders_.size());
    uint32_t x = chain.x[0];
    const uint8_t* in = chain.in;
    for (size_t i = range.begin; i < range.end && status_ == Status::kOk;) {
      const size_t batch_end = std::min(range.end, i + kBatchSymbols);
      bool good = true;
      for (; i < batch_end; ++i) good &= decode_one(x, in, table, rows[i], symbols[i]);
      // One check of the end a batch is enough: the padding after the end holds all that a batch can read.
      if (in > chain.end) {
        status_ = Status::kTruncated;
      } else if (!good) {
        status_ = Status::kCorruptEscape;
      }
    }
    chain.x[0] = x;
    chain.in = in;
  }
  return status_;
}

Status ZigzagDecoder::finish() {
  for (size_t index = 0; index < coders_.size() && status_ == Status::kOk; index += 2) {
    const Coder& first = coders_[index];
    const bool alone = index + 1 == coders_.size();
    status_ = first.chain.finish(alone);
    if (alone || status_ != Status::kOk) continue;
    const Coder& second = coders_[index + 1];
    status_ = second.chain.finish(false);
    if (status_ != Status::kOk) continue;
    const size_t num_first = first.chain.used();
    const size_t num_second = second.chain.used();
    const size_t shared = shared_tail(first.chain.in - num_first, num_first, second.chain.in - num_second, num_second);
    if (num_first + num_second < first.group_size) {
      status_ = Status::kUnusedBytes;
    } else if (num_first + num_second - shared != first.group_size) {
      status_ = Status::kCorruptTail;
    }
  }
  return status_;
}

}  // namespace dcvc::entropy
