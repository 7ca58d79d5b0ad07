// Adaptive binary decisions on the range coder. Vectors, filters and the floor are coded with them. Source:
// docs/motion.md, "Bits".
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "entropy_cpp/range_coder.hpp"

namespace dcvc {

constexpr int kContextBits = 15;

// The probability of a zero. It is the mean of a fast and a slow estimate, both in 1/65536.
class Context {
 public:
  uint32_t probability() const {
    const uint32_t p = (static_cast<uint32_t>(fast_) + slow_) >> (17 - kContextBits);
    return std::clamp(p, 32u, (1u << kContextBits) - 32);
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

// The cost of a decision in bits. Only encoders ask for it. Libraries differ in the last bits of a logarithm; encoders
// must not, so it is rounded to far fewer.
inline double price(const Context& context, bool bit) {
  constexpr double one = 1 << 20;
  const double zero = static_cast<double>(context.probability()) / (1 << kContextBits);
  return std::round(-std::log2(bit ? 1.0 - zero : zero) * one) / one;
}

class BinaryEncoder {
 public:
  explicit BinaryEncoder(RangeEncoder& coder) : coder_(coder) {}

  bool code(Context& context, bool bit) {
    split(context.probability(), kContextBits, bit);
    context.learn(bit);
    return bit;
  }
  bool code_even(bool bit) {  // both values are equally likely; no context learns
    split(1, 1, bit);
    return bit;
  }

 private:
  void split(uint32_t zero, int bits, bool bit) { coder_.take(bit ? zero : 0, bit ? 1u << bits : zero, bits); }

  RangeEncoder& coder_;
};

class BinaryDecoder {
 public:
  explicit BinaryDecoder(RangeDecoder& coder) : coder_(coder) {}

  // The unnamed argument gives BinaryEncoder and BinaryDecoder one interface, so that one walk drives both.
  bool code(Context& context, bool) {
    const bool bit = split(context.probability(), kContextBits);
    context.learn(bit);
    return bit;
  }
  bool code_even(bool) { return split(1, 1); }

 private:
  bool split(uint32_t zero, int bits) {
    const bool bit = coder_.is_from(zero, bits);
    coder_.take(bit ? zero : 0, bit ? 1u << bits : zero, bits);
    return bit;
  }

  RangeDecoder& coder_;
};

}  // namespace dcvc
