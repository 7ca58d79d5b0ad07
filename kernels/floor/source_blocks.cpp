#include "kernels/floor/source_blocks.hpp"

#include <cstddef>
#include <cstring>

namespace dcvc::floor {
namespace {

// By block, whether keeps(plane, offset of the block, offset of a line of it, length) holds for all its lines.
template <class Keeps>
std::vector<uint8_t> blocks_where(const FrameFloor& grid, const Keeps& keeps) {
  std::vector<uint8_t> found(grid.blocks.size(), 1);
  const auto columns = static_cast<size_t>(grid.columns);
  for (size_t plane = 0; plane < 3; ++plane) {
    const size_t side = static_cast<size_t>(grid.parts_per_side(static_cast<int>(plane))) * kPart;
    for (size_t y = 0; y < static_cast<size_t>(grid.rows) * side; ++y) {
      for (size_t column = 0; column < columns; ++column) {
        uint8_t& block = found[y / side * columns + column];
        const size_t corner = (y / side * side * columns + column) * side;
        if (block && !keeps(plane, corner, (y * columns + column) * side, side)) block = 0;
      }
    }
  }
  return found;
}

}  // namespace

std::vector<uint8_t> flat_blocks(const FrameFloor& grid, const std::array<Source, 3>& source) {
  return blocks_where(grid, [&](size_t plane, size_t corner, size_t line, size_t side) {
    const int16_t* samples = source[plane].samples;
    return samples[line] == samples[corner] &&
           std::memcmp(samples + line, samples + line + 1, (side - 1) * sizeof(*samples)) == 0;
  });
}

std::vector<uint8_t> still_blocks(const FrameFloor& grid, const std::array<Source, 3>& source,
                                  const std::array<std::vector<int16_t>, 3>& before) {
  return blocks_where(grid, [&](size_t plane, size_t, size_t line, size_t side) {
    return std::memcmp(source[plane].samples + line, before[plane].data() + line, side * sizeof(int16_t)) == 0;
  });
}

}  // namespace dcvc::floor
