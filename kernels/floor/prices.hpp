// The bits of a frame's floor, for the encoder's choice: coders that write nothing.
#pragma once

#include <cmath>
#include <cstdint>

#include "entropy_cpp/binary_coder.hpp"

namespace dcvc::floor {

constexpr int kPriceOne = 256;  // the price of a bit

struct PriceTable {
  PriceTable() {
    for (size_t i = 0; i < 512; ++i)
      price[i] = static_cast<int>(std::lround(-std::log2((static_cast<double>(i) + 0.5) / 512) * kPriceOne));
  }
  int price[512];
};
inline const PriceTable kPrices;

class Pricer {  // adds up prices, learns nothing
 public:
  static constexpr bool kIsDecoder = false;
  bool code(Context& context, bool bit) {
    const uint32_t zero = context.probability();
    bits += kPrices.price[(bit ? (1u << kContextBits) - zero : zero) >> 6];
    return bit;
  }
  bool code_even(bool bit) {
    bits += kPriceOne;
    return bit;
  }
  int64_t bits = 0;
};

struct Learner {  // learns and writes nothing
  static constexpr bool kIsDecoder = false;
  bool code(Context& context, bool bit) {
    context.learn(bit);
    return bit;
  }
  bool code_even(bool bit) { return bit; }
};

}  // namespace dcvc::floor
