// Tiles, packed weights and shared memory: where the elements of a matrix product lie. Host and device include this.
//
// Weights are packed in blocks of 64 columns and steps of 64 channels, as they lie in shared memory. A block and step
// has 4096 bytes; 16-bit weights have their high bytes, then their low ones. It holds two halves of 32 channels, four
// pairs of 8-column tiles, 32 lanes and 16 bytes: the fragments b0, b1 of the first tile and those of the second.
//
// ldmatrix gives a lane pairs of neighbouring int16 channels, whose high (or low) bytes two permutes join to a
// fragment. So byte i of fragment register h in lane t = lane % 4 holds channel 16 h + 8 (i / 2) + 2 t + i % 2 of the
// half, and weights are packed likewise.
#pragma once

#include "kernels/cuda/device.hpp"
#include "kernels/cuda/packing.hpp"

namespace dcvc::cuda {

constexpr int kStages = 3;  // of the copies from global to shared memory
constexpr int kTableBytes = 256;

// A tile has kWarpRows x kWarpColumns warps. Each has 32 rows and 8 kTilesN columns.
template <int WarpRows, int WarpColumns, int TilesN, bool Wide>
struct MatrixTile {
  static constexpr int kWarpRows = WarpRows, kWarpColumns = WarpColumns, kTilesN = TilesN;
  static constexpr bool kWide = Wide;  // 16-bit weights
  static constexpr int kRows = 32 * WarpRows, kColumns = 8 * TilesN * WarpColumns,
                       kThreads = 32 * WarpRows * WarpColumns;
  static constexpr int kPlanes = Wide ? 2 : 1;
  static constexpr int kBytesA = kRows * 2 * kStepChannels, kBytesB = kColumns / kBlockColumns * kBlockBytes * kPlanes;
  static constexpr int kStageBytes = kBytesA + kBytesB, kTableOffset = kStages * kStageBytes;
  static constexpr int kSharedBytes = kTableOffset + kTableBytes;
  static_assert(kColumns % kBlockColumns == 0 && TilesN % 4 == 0);
};

using SmallTile = MatrixTile<2, 2, 4, false>;  // 64 positions x 64 columns: small grids
using LargeTile = MatrixTile<4, 2, 8, false>;  // 128 x 128
using WideTile = MatrixTile<2, 2, 4, true>;    // 64 x 64, 16-bit weights

template <class Tile>
DCVC_HOST_DEVICE bool has_size(TileSize size) {
  return Tile::kRows == size.rows && Tile::kColumns == size.columns;
}
static_assert(has_size<SmallTile>(kSmallSize) && has_size<LargeTile>(kLargeSize) && has_size<WideTile>(kWideSize));

// Returns the byte offset of 16-byte chunk `chunk` (8 channels) of row `row` in a stage's activations. No two of 8 rows
// share a bank, so ldmatrix never waits.
GPU_FN int activation_place(int row, int chunk) { return row * 128 + ((chunk ^ (row & 7)) << 4); }

// Returns the byte offset of chunk `chunk` of row `row` in the staged output, whose rows have kRowBytes.
template <int kRowBytes>
GPU_FN int output_place(int row, int chunk) {
  constexpr int kChunks = kRowBytes / 16, kMask = kChunks < 8 ? kChunks - 1 : 7,
                kRowsTogether = kRowBytes < 64    ? 2
                                : kRowBytes < 128 ? 1
                                                  : 0;
  return row * kRowBytes + ((chunk ^ ((row >> kRowsTogether) & kMask)) << 4);
}

}  // namespace dcvc::cuda
