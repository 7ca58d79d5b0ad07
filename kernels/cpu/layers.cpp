#include "kernels/cpu/layers.hpp"

namespace dcvc::kernels {
namespace {

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Packs multipliers in position order, and addends with even and odd positions apart. Both are zero beyond num_outputs.
void pack_rescale(const int32_t* multiplier, const int64_t* addend, int num_outputs, AlignedArray<int32_t>& multipliers,
                  AlignedArray<int64_t>& addends) {
  const int padded = round_up(num_outputs, kBlockOutputs);
  multipliers.reserve(static_cast<size_t>(padded));
  addends.reserve(static_cast<size_t>(padded));
  for (int base = 0; base < padded; base += kLaneBlock) {
    for (int position = 0; position < kLaneBlock; ++position) {
      const int output = base + output_of_position(position);
      if (output >= num_outputs) continue;
      const int place = position / 16 * 16 + position % 2 * 8 + position % 16 / 2;
      multipliers[static_cast<size_t>(base + position)] = multiplier[output];
      addends[static_cast<size_t>(base + place)] = addend[output];
    }
  }
}

}  // namespace

Matrix::Matrix(const int16_t* weights, const int32_t* multiplier, const int64_t* addend, int num_outputs,
               int num_inputs)
    : num_outputs_(num_outputs), num_inputs_(num_inputs) {
  const size_t num_pairs = static_cast<size_t>(num_inputs + 1) / 2;
  pairs_.reserve(static_cast<size_t>(num_blocks()) * num_pairs * 2 * kBlockOutputs);
  for (int block = 0; block < num_blocks(); ++block) {
    for (int position = 0; position < kBlockOutputs; ++position) {
      const int output =
          block * kBlockOutputs + position / kLaneBlock * kLaneBlock + output_of_position(position % kLaneBlock);
      if (output >= num_outputs) continue;
      for (int k = 0; k < num_inputs; ++k) {
        const int16_t w =
            weights[static_cast<size_t>(output) * static_cast<size_t>(num_inputs) + static_cast<size_t>(k)];
        narrow_ = narrow_ && w >= -127 && w <= 127;
        const size_t pair = static_cast<size_t>(block) * num_pairs + static_cast<size_t>(k / 2);
        pairs_[pair * 2 * kBlockOutputs + static_cast<size_t>(2 * position + k % 2)] = w;
      }
    }
  }
  pack_rescale(multiplier, addend, num_outputs, multiplier_, addend_);
  pack_tiles(weights);
}

void Matrix::pack_tiles(const int16_t* weights) {
  const int input_tiles = (num_inputs_ + 63) / 64;
  const size_t size = static_cast<size_t>(num_blocks()) * 4 * static_cast<size_t>(input_tiles) * 1024;
  tiles_high_.reserve(size);
  if (!narrow_) tiles_low_.reserve(size);
  for (int place = 0; place < num_blocks() * kBlockOutputs; ++place) {
    const int output = place / kLaneBlock * kLaneBlock + output_of_position(place % kLaneBlock);
    if (output >= num_outputs_) continue;
    for (int k = 0; k < num_inputs_; ++k) {
      const int16_t w =
          weights[static_cast<size_t>(output) * static_cast<size_t>(num_inputs_) + static_cast<size_t>(k)];
      const size_t tile =
          static_cast<size_t>(place / 16) * static_cast<size_t>(input_tiles) + static_cast<size_t>(k / 64);
      const size_t at = tile * 1024 + static_cast<size_t>(k % 64 / 4 * 64 + place % 16 * 4 + k % 4);
      tiles_high_[at] = static_cast<int8_t>(narrow_ ? w : w >> 8);
      if (!narrow_) tiles_low_[at] = static_cast<uint8_t>(w & 255);
    }
  }
}

MatrixView Matrix::view() const {
  return {pairs_.data(), tiles_high_.data(), narrow_ ? nullptr : tiles_low_.data(), (num_inputs_ + 1) / 2,
          (num_inputs_ + 63) / 64};
}

DepthwiseLayer::DepthwiseLayer(const int16_t* weights, const int32_t* multiplier, const int64_t* addend, int channels)
    : channels_(channels) {
  const int padded = round_up(channels, kLaneBlock);
  taps_.reserve(static_cast<size_t>(padded) * 12);
  for (int base = 0; base < padded; base += kLaneBlock) {
    for (int position = 0; position < kLaneBlock; ++position) {
      const int channel = base + output_of_position(position);
      if (channel >= channels) continue;
      for (int dy = 0; dy < 3; ++dy) {
        for (int dx = 0; dx < 3; ++dx) {
          taps_[static_cast<size_t>(base * 12 + (dx * 2 + dy / 2) * 2 * kLaneBlock + 2 * position + dy % 2)] =
              weights[channel * 9 + dy * 3 + dx];
        }
      }
    }
  }
  pack_rescale(multiplier, addend, channels, multiplier_, addend_);
}

}  // namespace dcvc::kernels
