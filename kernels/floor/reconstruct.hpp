// The samples that a floor makes. Source: docs/floor.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/floor/frame_floor.hpp"

namespace dcvc::floor {

struct Plane {
  int16_t* samples = nullptr;
  int height = 0, width = 0;
  int16_t* at(int row, int column) const {
    return samples + static_cast<size_t>(row) * static_cast<size_t>(width) + column;
  }
};
using Planes = std::array<Plane, 3>;

// Changes the touched blocks of a picture. `compensated` has samples only if blocks have that base.
void reconstruct(const FrameFloor& floor, const Planes& picture, const Planes& compensated);

}  // namespace dcvc::floor
