// One walk over a floor serves all: an encoder writes the floor, a decoder fills it in, and the encoder's choice adds
// up prices. Source: docs/floor.md.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "kernels/floor/floor_coder.hpp"

namespace dcvc::floor {

// The place of the k-th coefficient in coding order, from the lowest frequency: diagonals, up on odd ones as in JPEG.
extern const std::array<uint8_t, kPartSamples> kZigzag;

inline int position_class(int row, int column) {
  const int sum = row + column;
  return sum == 0 ? 0 : sum <= 2 ? 1 : sum <= 5 ? 2 : 3;
}

// Class of the sum of five magnitudes: 0, 1, 2, 3..4, 5..7, 8..12, 13..20, 21..40, 41..80, more.
inline int activity_class(int sum) {
  constexpr int kLimits[kLevelActivities - 1] = {0, 1, 2, 4, 7, 12, 20, 40, 80};
  int activity = 0;
  while (activity < kLevelActivities - 1 && sum > kLimits[activity]) ++activity;
  return activity;
}

template <class Coder>
class Walk {
 public:
  Walk(Coder& coder, FloorContexts& contexts, bool is_p_frame)
      : coder_(coder), contexts_(contexts), is_p_(is_p_frame) {}

  // A walk at the same place of the frame, with another coder.
  template <class Other>
  Walk<Other> with(Other& coder) const {
    Walk<Other> walk(coder, contexts_, is_p_);
    walk.begin_blocks(depth_, last_flat_);
    return walk;
  }

  // Codes a whole frame. False if the floor breaks a rule.
  bool code_frame(FrameFloor& floor, int& last_step) {
    floor.is_used = coder_.code(contexts_.used[is_p_], floor.is_used);
    if (!floor.is_used) return true;
    if (!coder_.code(contexts_.same_step[is_p_], floor.step_index == last_step)) {
      floor.step_index = code_number(floor.step_index, 6);
    } else {
      floor.step_index = last_step;
    }
    last_step = floor.step_index;
    begin_blocks(floor.depth);
    for (int row = 0; row < floor.rows; ++row) {
      for (int column = 0; column < floor.columns; ++column) {
        if (!code_block(floor, row, column)) return false;
      }
    }
    return true;
  }

  void begin_blocks(int depth) {
    const auto middle = static_cast<uint16_t>(1 << (depth - 1));
    begin_blocks(depth, {middle, middle, middle});
  }
  void begin_blocks(int depth, const std::array<uint16_t, 3>& last_flat) { depth_ = depth, last_flat_ = last_flat; }

  // Codes one block; the floor has all blocks before it. A decoder appends levels. False if a flat level is none.
  bool code_block(FrameFloor& floor, int row, int column) {
    Block& block = floor.blocks[floor.index(row, column)];
    bool has_residual = block.coded != 0;
    if (!code_head(floor, row, column, has_residual)) return false;
    if (has_residual) code_parts(floor, block, row, column);
    return true;
  }

  // Codes what precedes the parts of a block, and sets `has_residual`.
  bool code_head(FrameFloor& floor, int row, int column, bool& has_residual) {
    Block& block = floor.blocks[floor.index(row, column)];
    const Neighbours beside(floor, row, column);
    block.is_touched = coder_.code(contexts_.touched[is_p_][beside.touched], block.is_touched);
    if (!block.is_touched) {
      has_residual = false;
      return true;
    }
    code_base(block, beside);
    if (block.base == Base::kFlat && !code_flat(block, beside)) return false;
    has_residual =
        block.base == Base::kPicture || coder_.code(contexts_.residual[block.base == Base::kFlat], has_residual);
    return true;
  }

  // What the levels of a flat block are predicted as; the blocks before it stand in the floor.
  const std::array<uint16_t, 3>& predicted_flat(const FrameFloor& floor, int row, int column) const {
    return predicted_flat(Neighbours(floor, row, column));
  }

  // Codes the levels of a part that has levels.
  void code_levels(int16_t* levels, bool is_chroma) {
    const int last = code_last(levels, is_chroma);
    int magnitudes[kPart + 2][kPart + 2] = {};
    for (int k = last; k >= 0; --k) {
      const int place = kZigzag[static_cast<size_t>(k)], row = place / kPart, column = place % kPart;
      const int sum = magnitudes[row][column + 1] + magnitudes[row][column + 2] + magnitudes[row + 1][column] +
                      magnitudes[row + 2][column] + magnitudes[row + 1][column + 1];
      auto& longer = contexts_.longer[is_chroma][static_cast<size_t>(position_class(row, column))]
                                     [static_cast<size_t>(activity_class(sum))];
      const int wanted = std::abs(levels[place]);
      int bits = k == last ? 1 : 0;
      while (bits < kMaxLevelBits && coder_.code(longer[static_cast<size_t>(bits)], wanted >> bits != 0)) ++bits;
      int magnitude = bits > 0 ? 1 : 0;
      for (int bit = bits - 2; bit >= 0; --bit) {
        const bool is_set = wanted >> bit & 1;
        const bool coded = bit == bits - 2
                               ? coder_.code(contexts_.second_bit[is_chroma][static_cast<size_t>(bits - 1)], is_set)
                               : coder_.code_even(is_set);
        magnitude = magnitude << 1 | (coded ? 1 : 0);
      }
      magnitudes[row][column] = magnitude;
      if (magnitude == 0) continue;
      levels[place] = static_cast<int16_t>(coder_.code_even(levels[place] < 0) ? -magnitude : magnitude);
    }
  }

  Context& coded_context(const FrameFloor& floor, int plane, int part_row, int part_column) {
    const int beside =
        floor.is_coded(plane, part_row, part_column - 1) + floor.is_coded(plane, part_row - 1, part_column);
    return contexts_.coded[static_cast<size_t>(plane)][static_cast<size_t>(beside)];
  }

 private:
  struct Neighbours {
    Neighbours(const FrameFloor& floor, int row, int column)
        : left(column > 0 ? &floor.blocks[floor.index(row, column - 1)] : nullptr),
          above(row > 0 ? &floor.blocks[floor.index(row - 1, column)] : nullptr) {
      for (const Block* block : {left, above}) {
        if (!block || !block->is_touched) continue;
        ++touched;
        compensated += block->base == Base::kCompensated;
        flat += block->base == Base::kFlat;
      }
    }
    const Block *left, *above;
    size_t touched = 0, compensated = 0, flat = 0;
  };

  const std::array<uint16_t, 3>& predicted_flat(const Neighbours& beside) const {
    const auto is_flat = [](const Block* other) { return other && other->is_touched && other->base == Base::kFlat; };
    return is_flat(beside.left) ? beside.left->flat : is_flat(beside.above) ? beside.above->flat : last_flat_;
  }

  void code_base(Block& block, const Neighbours& beside) {
    if (is_p_ && coder_.code(contexts_.compensated[beside.compensated], block.base == Base::kCompensated)) {
      block.base = Base::kCompensated;
    } else {
      block.base =
          coder_.code(contexts_.flat[is_p_][beside.flat], block.base == Base::kFlat) ? Base::kFlat : Base::kPicture;
    }
  }

  bool code_flat(Block& block, const Neighbours& beside) {
    const auto& predicted = predicted_flat(beside);
    if (coder_.code(contexts_.same_flat, block.flat == predicted)) {
      block.flat = predicted;
    } else {
      for (size_t plane = 0; plane < 3; ++plane) {
        const int level = predicted[plane] + code_difference(block.flat[plane] - predicted[plane], plane > 0);
        if (level < 0 || level > max_level(depth_)) return false;
        block.flat[plane] = static_cast<uint16_t>(level);
      }
    }
    last_flat_ = block.flat;
    return true;
  }

  void code_parts(FrameFloor& floor, Block& block, int row, int column) {
    const uint16_t wanted = block.coded;
    block.coded = 0;  // until they are known: parts look at those beside them
    uint32_t place = block.first_level;
    if (Coder::kIsDecoder) place = block.first_level = static_cast<uint32_t>(floor.levels.size());
    for (int plane = 0, part = 0; plane < 3; ++plane) {
      const int side = floor.parts_per_side(plane);
      for (int i = 0; i < side * side; ++i, ++part) {
        Context& context = coded_context(floor, plane, row * side + i / side, column * side + i % side);
        if (!coder_.code(context, wanted >> part & 1)) continue;
        block.coded = static_cast<uint16_t>(block.coded | 1u << part);
        if (Coder::kIsDecoder) floor.levels.resize(floor.levels.size() + kPartSamples);
        code_levels(floor.levels.data() + place, plane > 0);
        place += kPartSamples;
      }
    }
  }

  int code_last(const int16_t* levels, bool is_chroma) {
    int wanted = kPartSamples - 1;
    if (!Coder::kIsDecoder) {
      while (wanted > 0 && levels[kZigzag[static_cast<size_t>(wanted)]] == 0) --wanted;
    }
    size_t node = 1;
    for (int bit = 5; bit >= 0; --bit)
      node = node << 1 | (coder_.code(contexts_.last[is_chroma][node], wanted >> bit & 1) ? 1u : 0u);
    return static_cast<int>(node) - kPartSamples;
  }

  int code_number(int wanted, int bits) {
    int number = 0;
    for (int bit = bits - 1; bit >= 0; --bit) number = number << 1 | (coder_.code_even(wanted >> bit & 1) ? 1 : 0);
    return number;
  }

  int code_difference(int value, bool is_chroma) {
    if (!coder_.code(contexts_.flat_zero[is_chroma], value != 0)) return 0;
    const bool is_negative = coder_.code(contexts_.flat_sign[is_chroma], value < 0);
    const int wanted = std::abs(value);
    int length = 0;
    while (length < depth_ - 1 &&
           coder_.code(contexts_.flat_prefix[is_chroma][static_cast<size_t>(length)], wanted >> (length + 1) != 0))
      ++length;
    const int magnitude = 1 << length | code_number(wanted, length);
    return is_negative ? -magnitude : magnitude;
  }

  Coder& coder_;
  FloorContexts& contexts_;
  bool is_p_;
  int depth_ = 8;
  std::array<uint16_t, 3> last_flat_{};
};

}  // namespace dcvc::floor
