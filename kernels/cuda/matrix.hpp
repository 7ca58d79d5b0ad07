// Tensor cores compute convolutions as products of bytes: those of 16-bit activations times those of weights, with sums
// in 32 bits. The same launch does what follows a layer: rescale, activation, chunk-add, residuals, scale vector, pixel
// shuffle, limits of a picture.
#pragma once

#include "kernels/cuda/arguments.hpp"
#include "kernels/cuda/arithmetic.hpp"
#include "kernels/cuda/matrix_layout.hpp"

namespace dcvc::cuda {

// Says which channels of which kernel position a K step multiplies.
struct Cursor {
  int channel = 0, dy = 0, dx = 0;
  bool is_second = false;

  GPU_FN void advance(const MatrixArguments& p) {
    channel += kStepChannels;
    if (is_second || channel < p.channels) return;
    channel = 0;
    if (p.kernel == 1) {
      is_second = true;
    } else if (++dx == p.kernel) {
      dx = 0;
      ++dy;
    }
  }
};

// Holds the first input row and column of the four rows of a tile that a thread copies. Rows behind the last position
// read what is there, or zeros; nobody stores them.
struct TileRows {
  int y[4], x[4];
};

template <class Tile>
GPU_FN TileRows tile_rows(const MatrixArguments& p) {
  TileRows rows;
  GPU_UNROLL for (int i = 0; i < 4; ++i) {
    const int position = gpu::block_y() * Tile::kRows + gpu::thread_index() / 8 + Tile::kThreads / 8 * i;
    rows.y[i] = position / p.width * p.stride - p.padding;
    rows.x[i] = position % p.width * p.stride - p.padding;
  }
  return rows;
}

template <class Tile>
GPU_FN void load_stage(const MatrixArguments& p, const TileRows& rows, const Cursor& cursor, int step, int stage) {
  const int thread = gpu::thread_index(), chunk = thread & 7, base = stage * Tile::kStageBytes;
  const int16_t* x = cursor.is_second ? p.x2 : p.x;
  const int pitch = cursor.is_second ? p.pitch2 : p.pitch, channel = cursor.channel + 8 * chunk;
  const bool has_channel = channel < (cursor.is_second ? p.channels2 : p.channels);
  GPU_UNROLL for (int i = 0; i < 4; ++i) {
    const int y = rows.y[i] + cursor.dy, column = rows.x[i] + cursor.dx;
    const bool valid = has_channel && y >= 0 && y < p.in_height && column >= 0 && column < p.in_width;
    const int64_t place = valid ? (static_cast<int64_t>(y) * p.in_width + column) * pitch + channel : 0;
    gpu::copy_async16(base + activation_place(thread / 8 + Tile::kThreads / 8 * i, chunk), x + place, valid);
  }
  constexpr int kBlocks = Tile::kColumns / kBlockColumns, kBytes = kBlockBytes * Tile::kPlanes;
  GPU_UNROLL for (int block = 0; block < kBlocks; ++block) {
    const uint8_t* weights =
        p.weights + (static_cast<int64_t>(gpu::block_x() * kBlocks + block) * p.steps + step) * kBytes;
    GPU_UNROLL for (int piece = 0; piece < kBytes; piece += 16 * Tile::kThreads) {
      gpu::copy_async16(base + Tile::kBytesA + block * kBytes + piece + 16 * thread, weights + piece + 16 * thread,
                        true);
    }
  }
}

// Holds the sums of one warp by row tile, column tile and register. Each set counts another power of 256.
template <class Tile>
struct Sums {
  static constexpr int kSets = Tile::kWide ? 3 : 2;
  int32_t set[kSets][2][Tile::kTilesN][4];

  GPU_FN void clear() {
    GPU_UNROLL for (int s = 0; s < kSets; ++s) GPU_UNROLL for (int m = 0; m < 2; ++m) {
      GPU_UNROLL for (int n = 0; n < Tile::kTilesN; ++n) GPU_UNROLL for (int i = 0; i < 4; ++i) set[s][m][n][i] = 0;
    }
  }
  // Parts may wrap. The sum does not, since rows of weights are bounded.
  GPU_FN int32_t at(int m, int n, int i) const {
    uint32_t sum = static_cast<uint32_t>(set[0][m][n][i]);
    GPU_UNROLL for (int s = 1; s < kSets; ++s) sum = (sum << 8) + static_cast<uint32_t>(set[s][m][n][i]);
    return static_cast<int32_t>(sum);
  }
};

template <class Tile>
GPU_FN void multiply_stage(Sums<Tile>& sums, int base, int warp_row, int warp_column) {
  const int lane = gpu::thread_index() & 31;
  GPU_UNROLL for (int half = 0; half < 2; ++half) {
    uint32_t high[2][4], low[2][4];
    GPU_UNROLL for (int m = 0; m < 2; ++m) GPU_UNROLL for (int quarter = 0; quarter < 2; ++quarter) {
      // The four matrices are rows 0..7 and 8..15 of chunk c, then of chunk c + 1.
      const int row = warp_row * 32 + m * 16 + (lane & 15), chunk = half * 4 + quarter * 2 + (lane >> 4);
      uint32_t r[4];
      gpu::load_matrix_x4(r, base + activation_place(row, chunk));
      high[m][2 * quarter] = gpu::permute(r[0], r[2], 0x7531);
      high[m][2 * quarter + 1] = gpu::permute(r[1], r[3], 0x7531);
      low[m][2 * quarter] = gpu::permute(r[0], r[2], 0x6420);
      low[m][2 * quarter + 1] = gpu::permute(r[1], r[3], 0x6420);
    }
    GPU_UNROLL for (int pair = 0; pair < Tile::kTilesN / 2; ++pair) {
      const int all = warp_column * (Tile::kTilesN / 2) + pair, block = all / 4 * kBlockBytes * Tile::kPlanes;
      const int place = base + Tile::kBytesA + block + fragments_place(half, all % 4, lane);
      const Vec16 b = gpu::load_shared<Vec16>(place);
      if constexpr (Tile::kWide) {
        const Vec16 c = gpu::load_shared<Vec16>(place + kBlockBytes);
        GPU_UNROLL for (int j = 0; j < 2; ++j) GPU_UNROLL for (int m = 0; m < 2; ++m) {
          const int n = 2 * pair + j;
          gpu::mma_s8s8(sums.set[0][m][n], high[m], b.w[2 * j], b.w[2 * j + 1]);
          gpu::mma_s8u8(sums.set[1][m][n], high[m], c.w[2 * j], c.w[2 * j + 1]);
          gpu::mma_u8s8(sums.set[1][m][n], low[m], b.w[2 * j], b.w[2 * j + 1]);
          gpu::mma_u8u8(sums.set[2][m][n], low[m], c.w[2 * j], c.w[2 * j + 1]);
        }
      } else {
        GPU_UNROLL for (int j = 0; j < 2; ++j) GPU_UNROLL for (int m = 0; m < 2; ++m) {
          const int n = 2 * pair + j;
          gpu::mma_s8s8(sums.set[0][m][n], high[m], b.w[2 * j], b.w[2 * j + 1]);
          gpu::mma_u8s8(sums.set[1][m][n], low[m], b.w[2 * j], b.w[2 * j + 1]);
        }
      }
    }
  }
}

// Applies what follows residuals to 8 channels that are about to be stored.
GPU_FN Vec16 finished(const MatrixArguments& p, Vec16 v, int column) {
  if (p.factors) {
    const int row = gpu::load_constant(p.row), shift = gpu::load_constant(p.shifts + row);
    const int64_t place = static_cast<int64_t>(row) * p.out_columns + column;
    const Vec16 f = gpu::load_constant(reinterpret_cast<const Vec16*>(p.factors + place));
    GPU_UNROLL for (int i = 0; i < 4; ++i) {
      v.w[i] = gpu::pack_saturate16(shift_round(low_half(v.w[i]) * low_half(f.w[i]), shift),
                                    shift_round(high_half(v.w[i]) * high_half(f.w[i]), shift));
    }
  }
  if (p.is_picture) {
    GPU_UNROLL for (int i = 0; i < 4; ++i) {
      v.w[i] = gpu::pack_saturate16(picture_value(low_half(v.w[i]), p.picture_shift, p.picture_lowest),
                                    picture_value(high_half(v.w[i]), p.picture_shift, p.picture_lowest));
    }
  }
  return v;
}

// Stores the staged rows, 16 bytes a thread.
template <class Tile, int kOutColumns>
GPU_FN void store_rows(const MatrixArguments& p) {
  constexpr int kRowBytes = kOutColumns * 2, kChunks = kRowBytes / 16;
  for (int piece = gpu::thread_index(); piece < Tile::kRows * kChunks; piece += Tile::kThreads) {
    const int row = piece / kChunks, chunk = piece % kChunks, column = gpu::block_x() * kOutColumns + chunk * 8;
    int position = gpu::block_y() * Tile::kRows + row, channel = column;
    if (position >= p.positions || column >= p.out_columns) continue;
    if (p.sub_pixel) {
      const int cell = column / p.sub_pixel;
      channel = column % p.sub_pixel;
      position = (position / p.width * 2 + (cell >> 1)) * 2 * p.width + position % p.width * 2 + (cell & 1);
    }
    Vec16 v = gpu::load_shared<Vec16>(output_place<kRowBytes>(row, chunk));
    const int16_t* residuals[2] = {p.first, p.second};
    const int pitches[2] = {p.first_pitch, p.second_pitch};
    GPU_UNROLL for (int r = 0; r < 2; ++r) {
      if (!residuals[r]) continue;
      const int16_t* place = residuals[r] + static_cast<int64_t>(position) * pitches[r] + channel;
      const Vec16 added = gpu::load_global(reinterpret_cast<const Vec16*>(place));
      GPU_UNROLL for (int i = 0; i < 4; ++i) v.w[i] = gpu::add_saturate16x2(v.w[i], added.w[i]);
    }
    int16_t* place = p.out + static_cast<int64_t>(position) * p.out_pitch + channel;
    gpu::store_global(reinterpret_cast<Vec16*>(place), finished(p, v, column));
  }
}

// Says which columns are added after the activation. With kHalves, columns 0..15 and 16..31 of every 32 are the two
// halves of the same 16 outputs. With kFours, the four tiles of 8 columns are the four neighbours of the same 8
// outputs.
enum class Fold { kNone, kHalves, kFours };

template <class Tile, bool kActivate, Fold kFold>
GPU_FN void matrix(const MatrixArguments& p) {
  const int thread = gpu::thread_index(), lane = thread & 31, warp = thread >> 5;
  const int warp_row = warp % Tile::kWarpRows, warp_column = warp / Tile::kWarpRows;
  if (kActivate && thread < 64) {
    gpu::store_shared<uint32_t>(Tile::kTableOffset + 4 * thread, gpu::load_constant(p.activation + thread));
  }
  Sums<Tile> sums;
  sums.clear();
  const TileRows rows = tile_rows<Tile>(p);
  Cursor cursor;
  GPU_UNROLL for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < p.steps) load_stage<Tile>(p, rows, cursor, stage, stage);
    gpu::copy_commit();
    cursor.advance(p);
  }
  int stage = 0, next_stage = kStages - 1;
  for (int step = 0; step < p.steps; ++step) {
    gpu::copy_wait<kStages - 2>();
    gpu::sync_block();  // the stage is there for all threads, and nobody reads the one that is loaded next
    if (step + kStages - 1 < p.steps) load_stage<Tile>(p, rows, cursor, step + kStages - 1, next_stage);
    gpu::copy_commit();  // an empty group at the end keeps the count
    cursor.advance(p);
    multiply_stage<Tile>(sums, stage * Tile::kStageBytes, warp_row, warp_column);
    stage = stage + 1 == kStages ? 0 : stage + 1;
    next_stage = next_stage + 1 == kStages ? 0 : next_stage + 1;
  }
  gpu::copy_wait<0>();
  gpu::sync_block();  // the stages become the output's

  constexpr int kGroupTiles = kFold == Fold::kNone ? 4 : kFold == Fold::kHalves ? 2 : 1;  // stored, of every four
  constexpr int kOutTiles = Tile::kTilesN / 4 * kGroupTiles, kOutColumns = 8 * kOutTiles * Tile::kWarpColumns;
  GPU_UNROLL for (int m = 0; m < 2; ++m) GPU_UNROLL for (int group = 0; group < Tile::kTilesN / 4; ++group) {
    uint32_t packed[4][2];
    int32_t fours[2][2] = {};
    GPU_UNROLL for (int tile = 0; tile < 4; ++tile) {
      const int n = 4 * group + tile;
      const int column = gpu::block_x() * Tile::kColumns + (warp_column * Tile::kTilesN + n) * 8 + 2 * (lane & 3);
      const int32_t m0 = gpu::load_constant(p.multiplier + column), m1 = gpu::load_constant(p.multiplier + column + 1);
      const int64_t r0 = gpu::load_constant(p.addend + column), r1 = gpu::load_constant(p.addend + column + 1);
      GPU_UNROLL for (int h = 0; h < 2; ++h) {
        int32_t y0 = rescale(sums.at(m, n, 2 * h), m0, r0), y1 = rescale(sums.at(m, n, 2 * h + 1), m1, r1);
        if (kActivate) {
          y0 = wsilu(y0, Tile::kTableOffset, p.exponent);
          y1 = wsilu(y1, Tile::kTableOffset, p.exponent);
        }
        packed[tile][h] = gpu::pack_saturate16(y0, y1);
        fours[h][0] += y0;
        fours[h][1] += y1;
      }
    }
    GPU_UNROLL for (int tile = 0; tile < kGroupTiles; ++tile) GPU_UNROLL for (int h = 0; h < 2; ++h) {
      const uint32_t v = kFold == Fold::kFours    ? gpu::pack_saturate16(fours[h][0], fours[h][1])
                         : kFold == Fold::kHalves ? gpu::add_saturate16x2(packed[tile][h], packed[(tile + 2) % 4][h])
                                                  : packed[tile][h];
      const int row = warp_row * 32 + m * 16 + h * 8 + (lane >> 2);
      const int chunk = warp_column * kOutTiles + group * kGroupTiles + tile;
      gpu::store_shared<uint32_t>(output_place<2 * kOutColumns>(row, chunk) + 4 * (lane & 3), v);
    }
  }
  gpu::sync_block();
  store_rows<Tile, kOutColumns>(p);
}

}  // namespace dcvc::cuda
