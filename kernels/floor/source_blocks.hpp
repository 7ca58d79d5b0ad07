// What the source says of each block before anything is coded.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/floor/frame_floor.hpp"

namespace dcvc::floor {

struct Source {
  const int16_t* samples = nullptr;  // of the size of the picture's plane
};

// By block of the grid, whether its source is of one colour.
std::vector<uint8_t> flat_blocks(const FrameFloor& grid, const std::array<Source, 3>& source);

// By block of the grid, whether its source is that of the frame before, whose planes have the same sizes.
std::vector<uint8_t> still_blocks(const FrameFloor& grid, const std::array<Source, 3>& source,
                                  const std::array<std::vector<int16_t>, 3>& before);

}  // namespace dcvc::floor
