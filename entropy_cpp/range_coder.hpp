// The range coder that a frame's motion vectors, output filters, floor and compact symbols share. Source:
// docs/entropy-coding.md, "Range coder". Low and range have 64 bits; 32 bits go in or out at a time. A carry changes
// bytes that are already written. The decoder reads zeros past the end, so the encoder drops zero bytes at the end.
// Only the shortest byte string is valid for a run of decisions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace dcvc {

constexpr int kRangeUnitBits = 32;
// The range before every decision is at least this. A 16-bit division leaves over at most 2^-16 of it.
constexpr uint64_t kMinRange = uint64_t{1} << kRangeUnitBits;
constexpr size_t kWindowBytes = 8;

// The number in [low, low + range) that ends in the most 0 bits, modulo 2^64. There is only one. range > 0.
inline uint64_t shortest_in(uint64_t low, uint64_t range) {
  const uint64_t last = low + range - 1;
  if (low == 0 || last < low) return 0;  // the interval starts at or goes past a multiple of 2^64
  const int top_difference = 63 - __builtin_clzll((low - 1) ^ last);
  return last >> top_difference << top_difference;
}

class RangeEncoder {
 public:
  RangeEncoder() = default;
  // Continues from the state of another encoder; range >= kMinRange.
  RangeEncoder(std::vector<uint8_t> bytes, uint64_t low, uint64_t range)
      : low_(low), range_(range), bytes_(std::move(bytes)) {}

  // Codes the share [start, end) of 2^bits, bits <= 16. The last share also has the remainder of the division.
  void take(uint32_t start, uint32_t end, int bits) {
    const uint64_t unit = range_ >> bits, below = unit * start;
    low_ += below;
    if (low_ < below) carry();
    range_ = (end >> bits != 0 ? range_ : unit * end) - below;
    if (range_ < kMinRange) {
      shift();
      range_ <<= kRangeUnitBits;
    }
  }

  // Returns the shortest bytes. The encoder cannot be used afterwards.
  std::vector<uint8_t> finish() {
    const uint64_t number = shortest_in(low_, range_);
    if (number < low_) carry();
    low_ = number;
    for (size_t i = 0; i < kWindowBytes; i += kRangeUnitBits / 8) shift();
    while (!bytes_.empty() && bytes_.back() == 0) bytes_.pop_back();
    return std::move(bytes_);
  }

  const std::vector<uint8_t>& bytes() const { return bytes_; }
  uint64_t low() const { return low_; }
  uint64_t range() const { return range_; }

 private:
  void carry() {
    for (size_t i = bytes_.size(); i-- > 0 && ++bytes_[i] == 0;) {
    }
  }
  void shift() {
    for (int bit = 56; bit >= 64 - kRangeUnitBits; bit -= 8) bytes_.push_back(static_cast<uint8_t>(low_ >> bit));
    low_ <<= kRangeUnitBits;
  }

  uint64_t low_ = 0;
  uint64_t range_ = UINT64_MAX;
  std::vector<uint8_t> bytes_;
};

// Decodes any bytes and never reads past their end. After the last share `is_whole` tells whether an encoder makes
// these bytes.
class RangeDecoder {
 public:
  RangeDecoder(const uint8_t* data, size_t size)
      : data_(data), size_(size), position_(kWindowBytes), value_(window(0)) {}
  // Continues from the state of another decoder of the same bytes; range >= kMinRange.
  RangeDecoder(const uint8_t* data, size_t size, uint64_t position, uint64_t value, uint64_t range)
      : data_(data), size_(size), position_(position), value_(value), range_(range) {}

  // The number in 0..2^bits - 1 that comes next, bits <= 16. A `take` of the share that holds it must follow.
  uint32_t share(int bits) const {
    return static_cast<uint32_t>(std::min(value_ / (range_ >> bits), (uint64_t{1} << bits) - 1));
  }
  // Whether that number is `start` or above. Needs no division.
  bool is_from(uint32_t start, int bits) const { return value_ >= (range_ >> bits) * start; }

  void take(uint32_t start, uint32_t end, int bits) {
    const uint64_t unit = range_ >> bits, below = unit * start;
    value_ -= below;
    range_ = (end >> bits != 0 ? range_ : unit * end) - below;
    if (range_ < kMinRange) {
      range_ <<= kRangeUnitBits;
      value_ = value_ << kRangeUnitBits | word(position_);
      position_ += kRangeUnitBits / 8;
    }
  }

  bool has_bytes_left() const { return position_ < size_; }

  // Whether an encoder makes exactly these bytes of the decisions so far.
  bool is_whole() const {
    if (has_bytes_left() || (size_ > 0 && data_[size_ - 1] == 0)) return false;
    if (window(0) == UINT64_MAX) return false;  // above the first range: no decision leads here
    const uint64_t number = window(position_ - kWindowBytes);
    return shortest_in(number - value_, range_) == number;
  }

  uint64_t position() const { return position_; }
  uint64_t value() const { return value_; }
  uint64_t range() const { return range_; }

 private:
  uint64_t word(uint64_t at) const {
    if (at + 4 <= size_)
      return uint64_t{data_[at]} << 24 | uint64_t{data_[at + 1]} << 16 | uint64_t{data_[at + 2]} << 8 | data_[at + 3];
    uint64_t word = 0;
    for (uint64_t i = at; i < at + 4; ++i) word = word << 8 | (i < size_ ? data_[i] : 0);
    return word;
  }
  uint64_t window(uint64_t at) const { return word(at) << 32 | word(at + 4); }

  const uint8_t* data_;
  size_t size_;
  uint64_t position_;  // of the next byte; a position beyond the size counts the zeros that were read
  uint64_t value_;     // the last 8 bytes read as a number, minus the low of the interval
  uint64_t range_ = UINT64_MAX;
};

}  // namespace dcvc
