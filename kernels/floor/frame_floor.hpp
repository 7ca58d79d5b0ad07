// The floor of one frame: what it does to each 16x16 block. Source: docs/floor.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/samples.hpp"

namespace dcvc::floor {

constexpr int kBlock = 16;  // side of a block in samples of luma
constexpr int kPart = 8;    // side of a transform, of any plane
constexpr int kPartSamples = kPart * kPart;
constexpr int kMaxParts = 12;  // of a block with chroma at full size
constexpr int kNumSteps = 64;
constexpr int kExactStep = 63;     // not a step of the transform: levels are differences of samples as they are put out
constexpr int kMaxLevelBits = 14;  // of a level's magnitude
constexpr int kMaxDepth = 10;      // bits of a sample that is put out

enum class Base : uint8_t { kPicture, kCompensated, kFlat };

struct Block {
  bool is_touched = false;  // else the picture stays as it is, and the rest says nothing
  Base base = Base::kPicture;
  std::array<uint16_t, 3> flat{};  // levels of Y, Cb and Cr, as they are put out; of base kFlat
  uint16_t coded = 0;              // bit p: part p has levels
  uint32_t first_level = 0;        // of its coded parts, in FrameFloor::levels
};

// Parts of a block: the 8x8 squares of luma in raster order, then those of Cb and Cr: one each, or four at full size.
struct FrameFloor {
  FrameFloor() = default;
  FrameFloor(int rows_, int columns_, bool is_halved_, int depth_ = 8)
      : rows(rows_),
        columns(columns_),
        depth(depth_),
        is_halved(is_halved_),
        blocks(static_cast<size_t>(rows_) * static_cast<size_t>(columns_)) {}

  int num_parts() const { return is_halved ? 6 : kMaxParts; }
  int parts_per_side(int plane) const { return plane > 0 && is_halved ? 1 : 2; }
  int first_part(int plane) const { return plane == 0 ? 0 : 4 + (plane - 1) * (is_halved ? 1 : 4); }
  size_t index(int row, int column) const {
    return static_cast<size_t>(row) * static_cast<size_t>(columns) + static_cast<size_t>(column);
  }
  // Whether a part has levels, by its place in the plane's grid of 8x8 squares. False outside the picture.
  bool is_coded(int plane, int part_row, int part_column) const {
    if (part_row < 0 || part_column < 0) return false;
    const int side = parts_per_side(plane);
    const int part = first_part(plane) + part_row % side * side + part_column % side;
    return blocks[index(part_row / side, part_column / side)].coded >> part & 1;
  }

  int rows = 0, columns = 0;  // of blocks
  int depth = 8;              // bits of a sample that is put out
  bool is_halved = true;      // chroma is half as large as luma in both directions
  bool is_used = false;       // else no block is touched, and the rest says nothing
  int step_index = 0;         // 0..kNumSteps - 1
  std::vector<Block> blocks;
  std::vector<int16_t> levels;  // 64 of each coded part in raster order
};

constexpr int max_level(int depth) { return (1 << depth) - 1; }

// The sample 0..8192 of a level, as a picture of this depth is put out with.
inline int sample_of_level(int level, int depth) {
  return (level * kMaxSample + max_level(depth) / 2) / max_level(depth);
}

inline int level_of_sample(int sample, int depth) { return (sample * max_level(depth) + kMaxSample / 2) / kMaxSample; }

}  // namespace dcvc::floor
