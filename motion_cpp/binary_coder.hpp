// Adaptive binary range coder for side information: carries are propagated into bytes already written, the decoder reads zeros past
// the end, and so trailing zero bytes are not written. Source: docs/motion.md; the coder is the one of LZMA with two-speed probabilities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dcvc::motion {

constexpr int kProbabilityBits = 15;

// Probability of a zero: the mean of a fast and a slow estimate, both in 1/65536.
class Context {
 public:
  uint32_t probability() const {
    const uint32_t p = (static_cast<uint32_t>(fast_) + slow_) >> (17 - kProbabilityBits);
    return p < 32 ? 32 : p > (1u << kProbabilityBits) - 32 ? (1u << kProbabilityBits) - 32 : p;
  }
  void start(uint16_t zero) { fast_ = slow_ = zero; }  // in 1/65536
  uint16_t slow() const { return slow_; }
  void learn(bool bit) {
    fast_ = static_cast<uint16_t>(bit ? fast_ - (fast_ >> 4) : fast_ + ((65535 - fast_) >> 4));
    slow_ = static_cast<uint16_t>(bit ? slow_ - (slow_ >> 7) : slow_ + ((65535 - slow_) >> 7));
  }

 private:
  uint16_t fast_ = 32768, slow_ = 32768;
};

class BinaryEncoder {
 public:
  bool code(Context& context, bool bit) {
    split((range_ >> kProbabilityBits) * context.probability(), bit);
    context.learn(bit);
    return bit;
  }
  bool code_even(bool bit) {  // both values alike likely, nothing learned
    split(range_ >> 1, bit);
    return bit;
  }

  std::vector<uint8_t> finish() {
    for (int zeros = 31; zeros >= 0; --zeros) {  // the value in the range with the most zeros at its end
      const uint64_t mask = (uint64_t{1} << zeros) - 1, value = (low_ + mask) & ~mask;
      if (value < low_ + range_) {
        low_ = value;
        break;
      }
    }
    for (int i = 0; i < 4; ++i) shift();
    while (!bytes_.empty() && bytes_.back() == 0) bytes_.pop_back();
    return std::move(bytes_);
  }

 private:
  void split(uint32_t bound, bool bit) {
    if (bit) {
      low_ += bound;
      range_ -= bound;
    } else {
      range_ = bound;
    }
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      shift();
    }
  }
  void shift() {
    if (low_ >> 32) {
      for (size_t i = bytes_.size(); i-- > 0 && ++bytes_[i] == 0;) {
      }
    }
    bytes_.push_back(static_cast<uint8_t>(low_ >> 24));
    low_ = (low_ & 0xFFFFFF) << 8;
  }

  uint64_t low_ = 0;
  uint32_t range_ = 0xFFFFFFFF;
  std::vector<uint8_t> bytes_;
};

class BinaryDecoder {
 public:
  BinaryDecoder(const uint8_t* data, size_t size) : data_(data), size_(size) {
    for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next();
  }

  // The argument only makes encoder and decoder look alike to what drives them.
  bool code(Context& context, bool) {
    const bool bit = split((range_ >> kProbabilityBits) * context.probability());
    context.learn(bit);
    return bit;
  }
  bool code_even(bool) { return split(range_ >> 1); }

  // Whether the bytes are as an encoder leaves them: none unread, no zero at the end.
  bool is_whole() const { return position_ >= size_ && (size_ == 0 || data_[size_ - 1] != 0); }

 private:
  bool split(uint32_t bound) {
    const bool bit = code_ >= bound;
    if (bit) {
      code_ -= bound;
      range_ -= bound;
    } else {
      range_ = bound;
    }
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      code_ = code_ << 8 | next();
    }
    return bit;
  }
  uint8_t next() { return position_ < size_ ? data_[position_++] : (++position_, uint8_t{0}); }

  const uint8_t* data_;
  size_t size_, position_ = 0;
  uint32_t range_ = 0xFFFFFFFF, code_ = 0;
};

}  // namespace dcvc::motion
