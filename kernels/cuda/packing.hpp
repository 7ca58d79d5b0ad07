// Says where a packed weight lies, which output a column has, and which tile a product takes. Host and device include
// this. dcvc_cli/backend/cuda/packing.py and kernels.py are the twins in Python.
#pragma once

#if defined(__CUDACC__)
#define DCVC_HOST_DEVICE __host__ __device__ constexpr
#else
#define DCVC_HOST_DEVICE constexpr
#endif

namespace dcvc::cuda {

constexpr int kBlockColumns = 64, kStepChannels = 64, kBlockBytes = kBlockColumns * kStepChannels;
constexpr int kHalfBytes = kBlockBytes / 2, kLaneBytes = 16;

DCVC_HOST_DEVICE int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Returns the byte offset in a block of the 16 bytes that a lane has of a half (32 channels) and a pair of 8-column
// tiles.
DCVC_HOST_DEVICE int fragments_place(int half, int pair, int lane) {
  return half * kHalfBytes + (pair * 32 + lane) * kLaneBytes;
}

// Returns the byte offset of a column's channel in a block.
DCVC_HOST_DEVICE int weight_place(int column, int channel) {
  const int inside = channel % 32, lane = column % 8 * 4 + inside % 8 / 2;
  const int fragment_register = inside / 16, byte = inside % 16 / 8 * 2 + inside % 2;
  return fragments_place(channel / 32, column / 16, lane) + column % 16 / 8 * 8 + fragment_register * 4 + byte;
}

// Names the orders of a product's columns. A column without an output has -1.
enum class ColumnOrder { kPlain, kChunked, kFours, kSubPixel };

DCVC_HOST_DEVICE int num_columns(ColumnOrder order, int outputs) {
  return order == ColumnOrder::kChunked    ? round_up(outputs / 2, 16) * 2
         : order == ColumnOrder::kFours    ? round_up(outputs / 4, 8) * 4
         : order == ColumnOrder::kSubPixel ? round_up(outputs / 4, 8) * 4
                                           : outputs;
}

DCVC_HOST_DEVICE int output_of_column(ColumnOrder order, int outputs, int column) {
  if (order == ColumnOrder::kChunked) {  // 16 outputs of the first half, then the 16 that are added to them
    const int output = column / 32 * 16 + column % 16;
    return output < outputs / 2 ? column % 32 / 16 * (outputs / 2) + output : -1;
  }
  if (order == ColumnOrder::kFours) {  // the first neighbours of 8 sums, then their second, third and fourth ones
    const int sum = column / 32 * 8 + column % 8;
    return sum < outputs / 4 ? 4 * sum + column % 32 / 8 : -1;
  }
  if (order == ColumnOrder::kSubPixel) {  // the channels of the upper left position, then those of the other three
    const int padded = round_up(outputs / 4, 8);
    return column % padded < outputs / 4 ? column % padded * 4 + column / padded : -1;
  }
  return column < outputs ? column : -1;
}

// Holds the positions and columns of a tile.
struct TileSize {
  int rows, columns;
};
constexpr TileSize kSmallSize{64, 64}, kLargeSize{128, 128}, kWideSize{64, 64};
constexpr int kSmallTilePercent = 70;  // of the large tile's products: it reads operands twice as often; an estimate

// Returns the number of blocks that a product has with a tile.
DCVC_HOST_DEVICE long long num_blocks(TileSize tile, int positions, int columns) {
  return ((positions + tile.rows - 1LL) / tile.rows) * ((columns + tile.columns - 1LL) / tile.columns);
}

// Returns whether large tiles end an 8-bit product first. The multiprocessor with the most blocks decides.
DCVC_HOST_DEVICE bool takes_large_tile(int positions, int columns, int multiprocessors) {
  const long long large = (num_blocks(kLargeSize, positions, columns) + multiprocessors - 1) / multiprocessors;
  const long long small = (num_blocks(kSmallSize, positions, columns) + multiprocessors - 1) / multiprocessors;
  return large * kLargeSize.rows * kLargeSize.columns * kSmallTilePercent <=
         small * kSmallSize.rows * kSmallSize.columns * 100;
}

}  // namespace dcvc::cuda
