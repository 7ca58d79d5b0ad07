// The floor replaces or corrects blocks of 16x16 samples of a picture in cells. A block of threads has one 8x8 part of
// a plane. Source: docs/floor.md, "Samples of a touched block".
#pragma once

#include "kernels/cuda/picture.hpp"

namespace dcvc::cuda {

constexpr int kFloorThreads = 64, kLinesBegin = kFloorThreads * 4, kFloorBytes = 2 * kLinesBegin;
constexpr int kWordsOfBlock = 3, kBaseBits = 2, kFlatBits = 10;
constexpr int kCompensatedBase = 2, kFlatBase = 3;  // base 0 leaves the block untouched, base 1 is the picture
constexpr int32_t kMaxCoefficient = (1 << 17) - 1;

// Returns T(r, x) of the floor's transform, the 8x8 matrix of H.265 (clause 8.6.4.2). Bytes without sign hold it biased
// by 128.
GPU_FN int32_t cosine(int r, int x) {
  const uint64_t biased = r == 0   ? 0xc0c0c0c0c0c0c0c0ull
                          : r == 1 ? 0x27354e6e92b2cbd9ull
                          : r == 2 ? 0xd3a45c2d2d5ca4d3ull
                          : r == 3 ? 0x3592d9b24e276ecbull
                          : r == 4 ? 0xc04040c0c04040c0ull
                          : r == 5 ? 0x4ed96e35cb9227b2ull
                          : r == 6 ? 0xa42dd35c5cd32da4ull
                                   : 0x6eb235d927cb4e92ull;
  return static_cast<int32_t>(biased >> (8 * x) & 255) - 128;
}

// Returns the sample 0..8192 of an output sample 0..most. Two divisions by constants cost less than one by a variable.
GPU_FN int32_t sample_of_level(int32_t level, int32_t most) {
  const uint32_t numerator = static_cast<uint32_t>(level * kUnit + most / 2);
  return static_cast<int32_t>(most == 255 ? numerator / 255 : numerator / 1023);
}

// Returns what this thread's level adds to its sample. All threads of the block call it together. `step` is not 0.
GPU_FN int32_t residual_of(int32_t level, int32_t step) {
  const int thread = gpu::thread_index(), y = thread / kCell, x = thread % kCell;
  gpu::store_shared<int32_t>(4 * thread, limit(level * step, -kMaxCoefficient, kMaxCoefficient));
  gpu::sync_block();
  int32_t sum = 64;
  GPU_UNROLL for (int r = 0; r < kCell; ++r) sum += cosine(r, y) * gpu::load_shared<int32_t>(4 * (r * kCell + x));
  gpu::store_shared<int32_t>(kLinesBegin + 4 * thread, sum >> 7);
  gpu::sync_block();
  sum = 128;
  GPU_UNROLL for (int c = 0; c < kCell; ++c) {
    sum += cosine(c, x) * gpu::load_shared<int32_t>(kLinesBegin + 4 * (y * kCell + c));
  }
  return sum >> 8;
}

GPU_FN void floor_parts(const FloorArguments& p) {
  const int part = gpu::block_z(), row = gpu::block_y(), column = gpu::block_x();
  const int thread = gpu::thread_index(), y = thread / kCell, x = thread % kCell;
  const int chroma_parts = p.halved ? 1 : 4;
  const int plane = part < 4 ? 0 : 1 + (part - 4) / chroma_parts, square = part < 4 ? part : (part - 4) % chroma_parts;
  const bool halved = plane > 0 && p.halved;
  const uint32_t* words = p.blocks + (row * (p.columns / 2) + column) * kWordsOfBlock;
  const uint32_t word = gpu::load_constant(words), coded = gpu::load_constant(words + 1);
  const int base = static_cast<int>(word & ((1 << kBaseBits) - 1));
  // The sample's place in the plane at the plane's own size.
  const int plane_y = (halved ? row : 2 * row + square / 2) * kCell + y;
  const int plane_x = (halved ? column : 2 * column + square % 2) * kCell + x;
  const int16_t* from = base == kCompensatedBase ? p.compensated : p.cells;
  int32_t sample = 0;
  if (base == kFlatBase) {
    const uint32_t level = word >> (kBaseBits + kFlatBits * plane) & ((1 << kFlatBits) - 1);
    sample = sample_of_level(static_cast<int32_t>(level), p.max_level);
  } else if (base != 0 || !halved) {
    sample = halved ? (sum_of_four(from, p.columns, plane, plane_y, plane_x) + 2) >> 2
                    : sample_at(from, p.columns, plane, plane_y, plane_x);
  }
  if (base != 0 && (coded >> part & 1)) {
    const int64_t place =
        static_cast<int64_t>(gpu::load_constant(words + 2)) + gpu::count_bits(coded & ((1u << part) - 1));
    const int32_t level = gpu::load_constant(p.levels + place * kCellSamples + thread);
    const int32_t step = gpu::load_constant(p.step);
    if (step == 0) {
      const int32_t shown = (p.max_level * sample + 4096) >> 13;
      sample = sample_of_level(limit(shown + level, 0, p.max_level), p.max_level);
    } else {
      sample = limit(sample + residual_of(level, step), 0, kUnit);
    }
  }
  if (!halved) {
    gpu::store_global(p.out + cell_place(plane_y / kCell, plane_x / kCell, p.columns, plane) + thread,
                      static_cast<int16_t>(sample));
    return;
  }
  GPU_UNROLL for (int i = 0; i < 4; ++i) {
    const int full_y = 2 * plane_y + i / 2, full_x = 2 * plane_x + i % 2;
    const int64_t place =
        cell_place(full_y / kCell, full_x / kCell, p.columns, plane) + full_y % kCell * kCell + full_x % kCell;
    const int16_t value = base == 0 ? gpu::load_global(p.cells + place) : static_cast<int16_t>(sample);
    gpu::store_global(p.out + place, value);
  }
}

}  // namespace dcvc::cuda
