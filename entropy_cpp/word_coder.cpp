#include "entropy_cpp/word_coder.hpp"

#include <algorithm>
#include <string>

namespace dcvc::entropy {

namespace {

constexpr uint64_t kLower = uint64_t{1} << 31;  // of a state
constexpr uint32_t kRawBits = 4;
constexpr uint32_t kRawMask = (1u << kRawBits) - 1;
constexpr uint32_t kMaxDigits = 7;  // 28 bits

// A state and the words that have left it, the latest last.
struct Writer {
  uint64_t state = kLower;
  std::vector<uint32_t> words;

  void shrink(uint64_t limit) {
    if (state < limit) return;
    words.push_back(static_cast<uint32_t>(state));
    state >>= 32;
  }
  void entry(uint32_t start, uint32_t freq) {
    shrink(static_cast<uint64_t>(freq) << 47);
    state = (state / freq << kProbabilityBits) + state % freq + start;
  }
  void raw(uint32_t digit) {
    shrink(uint64_t{1} << 59);
    state = state << kRawBits | digit;
  }
};

void encode_symbol(Writer& writer, const WordTable& table, size_t row_index, int32_t symbol) {
  const WordTable::Row& row = table.row(row_index);
  const uint32_t* cumulative = table.cumulative(row);
  const int64_t value = static_cast<int64_t>(symbol) - row.offset;
  const int64_t escape = row.escape;
  uint32_t place = static_cast<uint32_t>(value);
  if (value < 0 || value >= escape) {
    const uint32_t raw = static_cast<uint32_t>(value < 0 ? -2 * value - 1 : 2 * (value - escape));
    uint32_t digits = 0;
    while (digits < kMaxDigits && raw >> (kRawBits * digits) != 0) ++digits;
    for (uint32_t d = digits; d-- > 0;) writer.raw(raw >> (kRawBits * d) & kRawMask);
    writer.raw(digits);  // below 15, so it is one piece
    place = row.escape;
  }
  writer.entry(cumulative[place], cumulative[place + 1] - cumulative[place]);
}

}  // namespace

WordTable::WordTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths,
                     const int32_t* offsets) {
  if (num_rows < 1 || num_rows > kMaxRows) {
    throw TableError("a coding table has 1 to 256 rows, not " + std::to_string(num_rows));
  }
  for (size_t r = 0; r < num_rows; ++r) {
    const std::string name = "table row " + std::to_string(r);
    const int32_t* const values = cdf + r * width;
    if (lengths[r] < 3 || static_cast<size_t>(lengths[r]) > std::min(width, kMaxWordLength)) {
      throw TableError(name + ": length " + std::to_string(lengths[r]) + " is outside 3.." + std::to_string(width));
    }
    const size_t length = static_cast<size_t>(lengths[r]);
    if (values[0] != 0 || values[length - 1] != static_cast<int32_t>(kProbabilityScale)) {
      throw TableError(name + ": cumulative values must run from 0 to 65536");
    }
    if (offsets[r] > 0 || offsets[r] < -static_cast<int32_t>(kMaxWordLength)) {
      throw TableError(name + ": its first symbol is outside " + std::to_string(-int64_t{kMaxWordLength}) + "..0");
    }
    rows_.push_back({static_cast<uint32_t>(cumulative_.size()), static_cast<uint32_t>(length - 2), offsets[r]});
    for (size_t e = 0; e < length; ++e) {
      if (e > 0 && values[e] <= values[e - 1]) throw TableError(name + ": cumulative values must rise strictly");
      cumulative_.push_back(static_cast<uint32_t>(values[e]));
    }
  }
}

bool check_symbols(const int32_t* symbols, size_t num_symbols) {
  return std::all_of(symbols, symbols + num_symbols,
                     [](int32_t symbol) { return symbol >= -kMaxWordSymbol && symbol <= kMaxWordSymbol; });
}

std::vector<uint8_t> encode_words(const std::vector<WordPart>& parts) {
  Writer writer;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    for (size_t i = part->num_symbols; i-- > 0;) encode_symbol(writer, *part->table, part->rows[i], part->symbols[i]);
  }
  writer.words.push_back(static_cast<uint32_t>(writer.state >> 32));
  writer.words.push_back(static_cast<uint32_t>(writer.state));
  std::vector<uint8_t> bytes;
  bytes.reserve(4 * writer.words.size());
  for (auto word = writer.words.rbegin(); word != writer.words.rend(); ++word) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<uint8_t>(*word >> shift));
  }
  return bytes;
}

WordDecoder::WordDecoder(const uint8_t* data, size_t size) {
  if (size < 8) {
    status_ = Status::kTruncated;
    return;
  }
  if (size % 4 != 0) {
    status_ = Status::kUnusedBytes;
    return;
  }
  words_.resize(size / 4);
  for (size_t i = 0; i < size; ++i) words_[i / 4] |= static_cast<uint32_t>(data[i]) << (8 * (i % 4));
  state_ = words_[0] | static_cast<uint64_t>(words_[1]) << 32;
  next_ = 2;
  if (state_ < kLower || state_ >= kLower << 32) status_ = Status::kCorruptState;
}

bool WordDecoder::refill() {
  if (state_ >= kLower) return true;
  if (next_ == words_.size()) return false;
  state_ = state_ << 32 | words_[next_++];
  return true;
}

bool WordDecoder::read_raw(uint32_t& digit) {
  digit = static_cast<uint32_t>(state_) & kRawMask;
  state_ >>= kRawBits;
  return refill();
}

Status WordDecoder::decode_one(const WordTable& table, const WordTable::Row& row, int32_t& symbol) {
  const uint32_t* const cumulative = table.cumulative(row);
  const uint32_t slot = static_cast<uint32_t>(state_) & (kProbabilityScale - 1);
  const uint32_t* const above = std::upper_bound(cumulative + 1, cumulative + row.escape + 1, slot);
  const uint32_t place = static_cast<uint32_t>(above - cumulative) - 1;
  state_ = (cumulative[place + 1] - cumulative[place]) * (state_ >> kProbabilityBits) + slot - cumulative[place];
  if (!refill()) return Status::kTruncated;
  int64_t value = place;
  if (place == row.escape) {
    uint32_t digits = 0;
    if (!read_raw(digits)) return Status::kTruncated;
    if (digits > kMaxDigits) return Status::kCorruptEscape;
    uint32_t raw = 0;
    for (uint32_t d = 0; d < digits; ++d) {
      uint32_t digit = 0;
      if (!read_raw(digit)) return Status::kTruncated;
      raw |= digit << (kRawBits * d);
    }
    if (digits > 0 && raw >> (kRawBits * (digits - 1)) == 0) return Status::kCorruptEscape;  // fewer digits would do
    value = (raw & 1) != 0 ? -static_cast<int64_t>(raw >> 1) - 1 : static_cast<int64_t>(raw >> 1) + row.escape;
  }
  symbol = static_cast<int32_t>(value + row.offset);
  return symbol < -kMaxWordSymbol || symbol > kMaxWordSymbol ? Status::kCorruptEscape : Status::kOk;
}

Status WordDecoder::decode(const WordTable& table, const uint8_t* rows, size_t num_symbols, int32_t* symbols) {
  for (size_t i = 0; i < num_symbols && status_ == Status::kOk; ++i) {
    status_ = decode_one(table, table.row(rows[i]), symbols[i]);
  }
  return status_;
}

Status WordDecoder::finish() {
  if (status_ == Status::kOk && next_ != words_.size()) status_ = Status::kUnusedBytes;
  if (status_ == Status::kOk && state_ != kLower) status_ = Status::kCorruptState;
  return status_;
}

}  // namespace dcvc::entropy
