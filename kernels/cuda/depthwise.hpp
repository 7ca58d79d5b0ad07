// The depthwise 3x3 layer. A block computes a tile of 8x8 positions and 64 channels. It holds the tile's surroundings
// in shared memory. A thread has two channels and a column.
#pragma once

#include "kernels/cuda/arguments.hpp"
#include "kernels/cuda/arithmetic.hpp"

namespace dcvc::cuda {

constexpr int kSpatialTile = 8, kSpatialSide = kSpatialTile + 2, kSpatialThreads = 256;
constexpr int kSpatialBytes = kSpatialSide * kSpatialSide * 128;
constexpr int kTapWords = 5;

GPU_FN void load_surroundings(const DepthwiseArguments& p, int y0, int x0, int channel0) {
  for (int piece = gpu::thread_index(); piece < kSpatialSide * kSpatialSide * 8; piece += kSpatialThreads) {
    const int cell = piece >> 3, chunk = piece & 7, channel = channel0 + 8 * chunk;
    const int y = y0 + cell / kSpatialSide - 1, x = x0 + cell % kSpatialSide - 1;
    const bool valid = y >= 0 && y < p.height && x >= 0 && x < p.width && channel < p.channels;
    const int64_t place = valid ? (static_cast<int64_t>(y) * p.width + x) * p.pitch + channel : 0;
    gpu::copy_async16(cell * 128 + 16 * chunk, p.x + place, valid);
  }
  gpu::copy_commit();
}

GPU_FN void depthwise(const DepthwiseArguments& p) {
  const int thread = gpu::thread_index(), tiles_x = (p.width + kSpatialTile - 1) / kSpatialTile;
  const int y0 = gpu::block_x() / tiles_x * kSpatialTile, x0 = gpu::block_x() % tiles_x * kSpatialTile;
  const int pair = thread & 31, column = thread >> 5, channel = gpu::block_y() * 64 + 2 * pair;
  load_surroundings(p, y0, x0, gpu::block_y() * 64);
  const bool has_channel = channel < p.channels;
  int32_t weights[2][9], multiplier[2] = {0, 0};
  int64_t addend[2] = {0, 0};
  GPU_UNROLL for (int c = 0; c < 2; ++c) {
    GPU_UNROLL for (int i = 0; i < kTapWords; ++i) {
      const uint32_t word = has_channel ? gpu::load_constant(p.taps + (channel + c) * kTapWords + i) : 0;
      weights[c][2 * i] = low_half(word);
      if (i < kTapWords - 1) weights[c][2 * i + 1] = high_half(word);
    }
    if (has_channel) {
      multiplier[c] = gpu::load_constant(p.multiplier + channel + c);
      addend[c] = gpu::load_constant(p.addend + channel + c);
    }
  }
  gpu::copy_wait<0>();
  gpu::sync_block();
  if (!has_channel || x0 + column >= p.width) return;
  int32_t v[3][3][2];  // by row % 3, column, channel
  GPU_UNROLL for (int row = 0; row < kSpatialSide; ++row) {
    GPU_UNROLL for (int dx = 0; dx < 3; ++dx) {
      const uint32_t word = gpu::load_shared<uint32_t>((row * kSpatialSide + column + dx) * 128 + 4 * pair);
      v[row % 3][dx][0] = low_half(word);
      v[row % 3][dx][1] = high_half(word);
    }
    if (row < 2 || y0 + row - 2 >= p.height) continue;
    int32_t y[2];
    GPU_UNROLL for (int c = 0; c < 2; ++c) {
      int32_t sum = 0;  // the bound of a row of weights keeps the sum and its parts inside 32 bits
      GPU_UNROLL for (int dy = 0; dy < 3; ++dy) {
        GPU_UNROLL for (int dx = 0; dx < 3; ++dx) sum += weights[c][3 * dy + dx] * v[(row - 2 + dy) % 3][dx][c];
      }
      y[c] = rescale(sum, multiplier[c], addend[c]);
    }
    const int64_t place = (static_cast<int64_t>(y0 + row - 2) * p.width + x0 + column) * p.out_pitch + channel;
    gpu::store_global(reinterpret_cast<uint32_t*>(p.out + place), gpu::pack_saturate16(y[0], y[1]));
  }
}

}  // namespace dcvc::cuda
