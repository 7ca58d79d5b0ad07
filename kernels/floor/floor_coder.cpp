#include "kernels/floor/floor_coder.hpp"

#include "kernels/floor/floor_walk.hpp"

namespace dcvc::floor {
namespace {

constexpr std::array<uint8_t, kPartSamples> zigzag() {
  std::array<uint8_t, kPartSamples> order{};
  size_t k = 0;
  for (int sum = 0; sum < 2 * kPart - 1; ++sum) {
    for (int i = 0; i <= sum; ++i) {
      const int row = sum % 2 ? i : sum - i, column = sum - row;
      if (row < kPart && column < kPart) order[k++] = static_cast<uint8_t>(row * kPart + column);
    }
  }
  return order;
}

constexpr size_t kLongerStarts = 5;
constexpr uint16_t kLonger[kLevelActivities][kLongerStarts] = {
    {54000, 63500, 40000, 32768, 32768}, {47000, 63000, 42000, 32768, 32768}, {41500, 62000, 42000, 32768, 32768},
    {39500, 60000, 42000, 32768, 32768}, {32768, 46000, 42000, 36000, 32768}, {20000, 32768, 42000, 36000, 32768},
    {13000, 20000, 34000, 40000, 32768}, {8000, 10000, 20000, 34000, 40000},  {5000, 6000, 10000, 22000, 36000},
    {3000, 3000, 5000, 10000, 24000},
};

template <size_t count>
void start(std::array<Context, count>& contexts, const std::array<uint16_t, count>& zeros) {
  for (size_t i = 0; i < count; ++i) contexts[i].start(zeros[i]);
}

struct Writer : BinaryEncoder {
  using BinaryEncoder::BinaryEncoder;
  static constexpr bool kIsDecoder = false;
};

struct Reader : BinaryDecoder {
  using BinaryDecoder::BinaryDecoder;
  static constexpr bool kIsDecoder = true;
};

}  // namespace

const std::array<uint8_t, kPartSamples> kZigzag = zigzag();

FloorContexts::FloorContexts() {
  start(used, {60000, 60000}), start(same_step, {57344, 16384});
  start(touched[0], {57344, 32768, 12288}), start(touched[1], {57344, 24576, 8192});
  start(compensated, {57344, 32768, 12288});
  for (auto& by_neighbours : flat) start(by_neighbours, {57344, 32768, 12288});
  start(residual, {32768, 49152});
  same_flat.start(24576);
  start(coded[0], {57344, 40000, 20000}), start(coded[1], {63000, 43000, 30000}),
      start(coded[2], {63000, 43000, 30000});
  for (auto& by_place : longer) {
    for (auto& by_activity : by_place) {
      for (size_t activity = 0; activity < kLevelActivities; ++activity) {
        for (size_t bits = 0; bits < kLongerStarts; ++bits) by_activity[activity][bits].start(kLonger[activity][bits]);
      }
    }
  }
  for (auto& by_bits : second_bit) by_bits[1].start(45000);
}

void FloorCoder::encode(RangeEncoder& coder, FrameFloor& floor) {
  Writer writer(coder);
  Walk<Writer>(writer, contexts_, !is_first_).code_frame(floor, last_step_);
  is_first_ = false;
}

bool FloorCoder::decode(RangeDecoder& coder, FrameFloor& floor) {
  Reader reader(coder);
  const bool is_intact = Walk<Reader>(reader, contexts_, !is_first_).code_frame(floor, last_step_);
  is_first_ = false;
  return is_intact;
}

}  // namespace dcvc::floor
