#include "entropy_cpp/wide_coder.hpp"

#include <algorithm>
#include <string>

namespace dcvc::entropy {

namespace {

// A state in [2^31, 2^63) that 32-bit little-endian words enter and leave, at most one an operation.
struct LongWords {
  static constexpr uint64_t kLower = uint64_t{1} << 31;
  static constexpr int kStateBytes = 8;
  static constexpr int kUnitBytes = 4;
  static constexpr int kDigitBits = 4;
  static constexpr uint32_t kMaxDigits = 4;  // `raw` of a 16-bit symbol is below 2^16
};

// A state in [2^23, 2^31) that bytes enter and leave, at most two an operation.
struct Bytes {
  static constexpr uint64_t kLower = uint64_t{1} << 23;
  static constexpr int kStateBytes = 4;
  static constexpr int kUnitBytes = 1;
  static constexpr int kDigitBits = 2;
  static constexpr uint32_t kMaxDigits = 8;
};

constexpr int kUnitBits(int unit_bytes) { return 8 * unit_bytes; }

// Writes bytes in reverse order: whoever reads them reverses the whole string once.
struct Writer {
  std::vector<uint8_t> reversed;

  void put(uint64_t value, int num_bytes) {
    for (int k = num_bytes; k-- > 0;) reversed.push_back(static_cast<uint8_t>(value >> (8 * k)));
  }
  std::vector<uint8_t> finish() {
    std::reverse(reversed.begin(), reversed.end());
    return std::move(reversed);
  }
};

// Moves units out until x < limit.
template <class Rans>
void shrink(uint64_t& x, Writer& out, uint64_t limit) {
  while (x >= limit) {
    out.put(x & ((uint64_t{1} << kUnitBits(Rans::kUnitBytes)) - 1), Rans::kUnitBytes);
    x >>= kUnitBits(Rans::kUnitBytes);
  }
}

template <class Rans>
void encode_entry(uint64_t& x, Writer& out, uint32_t start, uint32_t freq) {
  shrink<Rans>(x, out, (Rans::kLower >> kProbabilityBits << kUnitBits(Rans::kUnitBytes)) * freq);
  x = (x / freq << kProbabilityBits) + x % freq + start;
}

template <class Rans>
void encode_digit(uint64_t& x, Writer& out, uint32_t digit) {
  shrink<Rans>(x, out, Rans::kLower >> Rans::kDigitBits << kUnitBits(Rans::kUnitBytes));
  x = x << Rans::kDigitBits | digit;
}

template <class Rans>
void encode_symbol(uint64_t& x, Writer& out, const WideTable& table, uint8_t row_index, int32_t symbol) {
  const WideTable::Row& row = table.row(row_index);
  const int32_t value = symbol - row.offset;
  const bool is_regular = value >= 0 && value < row.escape;
  if (!is_regular) {
    constexpr uint32_t kMaxDigit = (1u << Rans::kDigitBits) - 1;
    const uint32_t raw = static_cast<uint32_t>(value < 0 ? -2 * value - 1 : 2 * (value - row.escape));
    uint32_t digits = 0;
    while (digits < Rans::kMaxDigits && raw >> (Rans::kDigitBits * digits) != 0) ++digits;
    for (uint32_t d = digits; d-- > 0;) encode_digit<Rans>(x, out, raw >> (Rans::kDigitBits * d) & kMaxDigit);
    encode_digit<Rans>(x, out, digits % kMaxDigit);
    for (uint32_t k = 0; k < digits / kMaxDigit; ++k) encode_digit<Rans>(x, out, kMaxDigit);
  }
  const uint32_t* entry = table.cumulative(row) + (is_regular ? value : row.escape);
  encode_entry<Rans>(x, out, entry[0], entry[1] - entry[0]);
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

template <class Rans>
std::vector<uint8_t> encode_coder(const std::vector<WidePart>& parts, size_t index, size_t count) {
  Writer out;
  uint64_t x = Rans::kLower;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const Range range = share_of(part->num_symbols, index, count);
    for (size_t i = range.end; i-- > range.begin;)
      encode_symbol<Rans>(x, out, *part->table, part->rows[i], part->symbols[i]);
  }
  out.put(x, Rans::kStateBytes);
  return out.finish();
}

uint64_t read_little(const uint8_t* in, int num_bytes) {
  uint64_t value = 0;
  for (int k = 0; k < num_bytes; ++k) value |= static_cast<uint64_t>(in[k]) << (8 * k);
  return value;
}

// A state that decodes, and its place in the bytes.
template <class Rans>
struct Reader {
  uint64_t x;
  const uint8_t* in;
  const uint8_t* end;
  bool truncated = false;

  void grow() {
    while (x < Rans::kLower) {
      if (end - in < Rans::kUnitBytes) {
        truncated = true;
        x = Rans::kLower;  // any state in range: nothing that follows is used
        return;
      }
      x = x << kUnitBits(Rans::kUnitBytes) | read_little(in, Rans::kUnitBytes);
      in += Rans::kUnitBytes;
    }
  }

  uint32_t digit() {
    const uint32_t found = static_cast<uint32_t>(x & ((1u << Rans::kDigitBits) - 1));
    x >>= Rans::kDigitBits;
    grow();
    return found;
  }

  // The next symbol; kCorruptEscape if an escape stands for no 16-bit symbol.
  Status symbol(const WideTable& table, uint8_t row_index, int16_t& found) {
    const WideTable::Row& row = table.row(row_index);
    const uint32_t* cumulative = table.cumulative(row);
    const uint32_t slot = static_cast<uint32_t>(x & (kProbabilityScale - 1));
    uint32_t entry = table.first_guess(row_index, slot);
    while (slot >= cumulative[entry + 1]) ++entry;  // ends: the last cumulative value is above every slot
    x = (x >> kProbabilityBits) * (cumulative[entry + 1] - cumulative[entry]) + slot - cumulative[entry];
    grow();
    int32_t value = static_cast<int32_t>(entry);
    if (value == row.escape) {
      constexpr uint32_t kMaxDigit = (1u << Rans::kDigitBits) - 1;
      uint32_t digits = 0;
      uint32_t piece = kMaxDigit;
      while (piece == kMaxDigit && digits <= Rans::kMaxDigits) digits += piece = digit();
      if (digits > Rans::kMaxDigits) return Status::kCorruptEscape;
      uint32_t raw = 0;
      for (uint32_t d = 0; d < digits; ++d) raw |= digit() << (Rans::kDigitBits * d);
      if (digits > 0 && raw >> (Rans::kDigitBits * (digits - 1)) == 0) return Status::kCorruptEscape;  // not shortest
      const int32_t half = static_cast<int32_t>(raw >> 1);
      value = (raw & 1) != 0 ? -half - 1 : half + row.escape;
    }
    const int32_t wide = value + row.offset;
    found = static_cast<int16_t>(wide);
    return wide == found ? Status::kOk : Status::kCorruptEscape;
  }
};

}  // namespace

WideTable::WideTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths,
                     const int32_t* offsets) {
  if (num_rows < 1 || num_rows > kMaxRows) {
    throw TableError("a coding table has 1 to 256 rows, not " + std::to_string(num_rows));
  }
  for (size_t r = 0; r < num_rows; ++r) add_row(cdf + r * width, width, lengths[r], offsets[r]);
}

void WideTable::add_row(const int32_t* cdf, size_t width, int32_t length, int32_t offset) {
  const std::string name = "table row " + std::to_string(rows_.size());
  if (length < 3 || static_cast<size_t>(length) > width) {
    throw TableError(name + ": length " + std::to_string(length) + " is outside 3.." + std::to_string(width));
  }
  if (offset < -128 || offset + length - 3 > 127) throw TableError(name + ": symbol values do not fit -128..127");
  if (cdf[0] != 0 || cdf[length - 1] != static_cast<int32_t>(kProbabilityScale)) {
    throw TableError(name + ": cumulative values must run from 0 to 65536");
  }
  const Row row{static_cast<uint32_t>(cumulative_.size()), length - 2, offset};
  for (int32_t e = 0; e < length; ++e) {
    if (e > 0 && cdf[e] <= cdf[e - 1]) throw TableError(name + ": cumulative values must rise strictly");
    cumulative_.push_back(static_cast<uint32_t>(cdf[e]));
  }
  rows_.push_back(row);
  uint32_t entry = 0;
  for (uint32_t low = 0; low < kProbabilityScale; low += kBucketWidth) {
    while (cumulative_[row.first_entry + entry + 1] <= low) ++entry;
    buckets_.push_back(static_cast<uint16_t>(entry));
  }
}

std::vector<std::vector<uint8_t>> encode_wide(const std::vector<WidePart>& parts, WideKind kind, size_t num_coders) {
  std::vector<std::vector<uint8_t>> strings;
  for (size_t index = 0; index < num_coders; ++index) {
    strings.push_back(kind == WideKind::kLongWords ? encode_coder<LongWords>(parts, index, num_coders)
                                                   : encode_coder<Bytes>(parts, index, num_coders));
  }
  return strings;
}

WideDecoder::WideDecoder(std::vector<std::vector<uint8_t>> strings, WideKind kind)
    : kind_(kind), strings_(std::move(strings)) {
  for (const auto& one : strings_) coders_.push_back({0, one.data(), one.data() + one.size()});
  status_ = kind_ == WideKind::kLongWords ? start<LongWords>() : start<Bytes>();
}

template <class Rans>
Status WideDecoder::start() {
  for (Coder& coder : coders_) {
    if (coder.end - coder.in < Rans::kStateBytes) return Status::kTruncated;
    coder.x = read_little(coder.in, Rans::kStateBytes);
    coder.in += Rans::kStateBytes;
    if (coder.x < Rans::kLower || coder.x >= Rans::kLower << kUnitBits(Rans::kUnitBytes)) return Status::kCorruptState;
  }
  return Status::kOk;
}

template <class Rans>
Status WideDecoder::decode_with(const WideTable& table, const uint8_t* rows, size_t num_symbols, int16_t* symbols) {
  for (size_t index = 0; index < coders_.size(); ++index) {
    Coder& coder = coders_[index];
    const Range range = share_of(num_symbols, index, coders_.size());
    Reader<Rans> reader{coder.x, coder.in, coder.end};
    for (size_t i = range.begin; i < range.end; ++i) {
      const Status status = reader.symbol(table, rows[i], symbols[i]);
      if (reader.truncated) return Status::kTruncated;
      if (status != Status::kOk) return status;
    }
    coder.x = reader.x;
    coder.in = reader.in;
  }
  return Status::kOk;
}

Status WideDecoder::decode(const WideTable& table, const uint8_t* rows, size_t num_symbols, int16_t* symbols) {
  if (status_ == Status::kOk) {
    status_ = kind_ == WideKind::kLongWords ? decode_with<LongWords>(table, rows, num_symbols, symbols)
                                            : decode_with<Bytes>(table, rows, num_symbols, symbols);
  }
  return status_;
}

Status WideDecoder::finish() {
  const uint64_t lower = kind_ == WideKind::kLongWords ? LongWords::kLower : Bytes::kLower;
  for (const Coder& coder : coders_) {
    if (status_ != Status::kOk) break;
    if (coder.in != coder.end) {
      status_ = Status::kUnusedBytes;
    } else if (coder.x != lower) {
      status_ = Status::kCorruptState;
    }
  }
  return status_;
}

}  // namespace dcvc::entropy
