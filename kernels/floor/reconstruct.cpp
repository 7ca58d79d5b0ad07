#include "kernels/floor/reconstruct.hpp"

#include <algorithm>

#include "kernels/floor/transform.hpp"

namespace dcvc::floor {

namespace {

// Both functions work on 8x8 samples that hold the prediction.
void add_transform(const int16_t* levels, int step, int16_t* samples, size_t stride) {
  int32_t residual[kPartSamples];
  residual_of_levels(levels, step, residual);
  for (size_t y = 0; y < kPart; ++y) {
    for (size_t x = 0; x < kPart; ++x) {
      int16_t& sample = samples[y * stride + x];
      sample = static_cast<int16_t>(std::clamp(sample + residual[y * kPart + x], 0, kMaxSample));
    }
  }
}

void add_exact(const int16_t* levels, int depth, int16_t* samples, size_t stride) {
  for (size_t y = 0; y < kPart; ++y) {
    for (size_t x = 0; x < kPart; ++x) {
      int16_t& sample = samples[y * stride + x];
      const int level = std::clamp(level_of_sample(sample, depth) + levels[y * kPart + x], 0, max_level(depth));
      sample = static_cast<int16_t>(sample_of_level(level, depth));
    }
  }
}

}  // namespace

void reconstruct(const FrameFloor& floor, const Planes& picture, const Planes& compensated) {
  if (!floor.is_used) return;
  const int step = step_size(floor.step_index);
  for (int row = 0; row < floor.rows; ++row) {
    for (int column = 0; column < floor.columns; ++column) {
      const Block& block = floor.blocks[floor.index(row, column)];
      if (!block.is_touched) continue;
      const int16_t* levels = floor.levels.data() + block.first_level;
      for (int plane = 0, part = 0; plane < 3; ++plane) {
        const Plane& out = picture[static_cast<size_t>(plane)];
        const int side = floor.parts_per_side(plane);
        for (int i = 0; i < side * side; ++i, ++part) {
          const int y = (row * side + i / side) * kPart, x = (column * side + i % side) * kPart;
          int16_t* to = out.at(y, x);
          const auto stride = static_cast<size_t>(out.width);
          if (block.base == Base::kCompensated) {
            for (int k = 0; k < kPart; ++k)
              std::copy_n(compensated[static_cast<size_t>(plane)].at(y + k, x), kPart, out.at(y + k, x));
          } else if (block.base == Base::kFlat) {
            const auto flat =
                static_cast<int16_t>(sample_of_level(block.flat[static_cast<size_t>(plane)], floor.depth));
            for (int k = 0; k < kPart; ++k) std::fill_n(out.at(y + k, x), kPart, flat);
          }
          if (!(block.coded >> part & 1)) continue;
          if (floor.step_index == kExactStep) {
            add_exact(levels, floor.depth, to, stride);
          } else {
            add_transform(levels, step, to, stride);
          }
          levels += kPartSamples;
        }
      }
    }
  }
}

}  // namespace dcvc::floor
