// The floor of a picture in cells: blocks of 16x16 samples that are replaced or corrected. A block of threads has one
// 8x8 part of a plane. Source: docs/floor.md, "Samples of a touched block".
#pragma once

#include "kernels/cuda/picture.hpp"

namespace dcvc::cuda {

constexpr int kFloorThreads = 64, kLinesBegin = kFloorThreads * 4, kFloorBytes = 2 * kLinesBegin;
constexpr int kWordsOfBlock = 3, kCompensatedBase = 2, kFlatBase = 3;  // bases; 0 is untouched, 1 the picture
constexpr int32_t kMaxCoefficient = (1 << 17) - 1;

// T(r, x) of the floor's transform: the 8x8 matrix of H.265 (clause 8.6.4.2), biased by 128 to fit bytes without sign.
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

// The sample 0..8192 of an 8-bit level.
GPU_FN int32_t sample_of_level(int32_t level) { return (level * kUnit + 127) / 255; }

// What this thread's level adds, all threads of the block together. `step` is not 0.
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
  const int base = static_cast<int>(word & 255);
  // In the plane at its own size: the part's first sample is at the multiple of 8 of the part.
  const int plane_y = (halved ? row : 2 * row + square / 2) * kCell + y;
  const int plane_x = (halved ? column : 2 * column + square % 2) * kCell + x;
  const int16_t* from = base == kCompensatedBase ? p.compensated : p.cells;
  int32_t sample = 0;
  if (base == kFlatBase) {
    sample = sample_of_level(static_cast<int32_t>(word >> (8 * (plane + 1)) & 255));
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
      sample = sample_of_level(limit(((255 * sample + 4096) >> 13) + level, 0, 255));
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
