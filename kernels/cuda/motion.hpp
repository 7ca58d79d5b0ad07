// Block motion compensates a picture. A block of threads has an 8x8 square of one plane. Source: docs/motion.md,
// "Compensation".
#pragma once

#include "kernels/cuda/picture.hpp"

namespace dcvc::cuda {

constexpr int kTaps = 8, kTapsBefore = kTaps / 2 - 1, kWindow = kSquare + kTaps - 1;
constexpr int kMotionThreads = 64, kWindowBytes = kWindow * kWindow * 2, kLinesOffset = (kWindowBytes + 3) / 4 * 4;
constexpr int kMotionBytes = kLinesOffset + kWindow * kSquare * 2;
constexpr int kMean = 1, kLongTerm = 2;  // blends; 0 is the reference alone

// Returns tap i of the filter of a fraction, of the luma filters of H.265 (clause 8.5.3.3.3). Bytes without sign hold
// them biased by 16.
GPU_FN int tap(int fraction, int i) {
  // -1 4 -10 58 17 -5 1 0;  -1 4 -11 40 40 -11 4 -1;  0 1 -5 17 58 -10 4 -1
  const uint64_t biased = fraction == 0   ? 0x1010101050101010ull
                          : fraction == 1 ? 0x10110b214a06140full
                          : fraction == 2 ? 0x0f1405383805140full
                                          : 0x0f14064a210b1110ull;
  return static_cast<int>(biased >> (8 * i) & 255) - 16;
}

struct SquarePlace {
  int row, column, rows, columns, plane;
};

GPU_FN uint32_t vector_of(const int16_t* field, const SquarePlace& at, int row, int column) {
  const int64_t square =
      static_cast<int64_t>(limit(row, 0, at.rows - 1)) * at.columns + limit(column, 0, at.columns - 1);
  return gpu::load_constant(reinterpret_cast<const uint32_t*>(field) + square);
}

// Returns this thread's sample of the square as a vector finds it in the picture, not limited. The vector has x in its
// low half and y in its high half.
GPU_FN int32_t predicted_by(const int16_t* picture, const SquarePlace& at, uint32_t vector) {
  const int thread = gpu::thread_index(), vx = low_half(vector), vy = high_half(vector);
  const int top = at.row * kSquare + (vy >> 2) - kTapsBefore, left = at.column * kSquare + (vx >> 2) - kTapsBefore;
  for (int i = thread; i < kWindow * kWindow; i += kMotionThreads) {
    const int y = limit(top + i / kWindow, 0, at.rows * kSquare - 1),
              x = limit(left + i % kWindow, 0, at.columns * kSquare - 1);
    gpu::store_shared(2 * i, static_cast<int16_t>(sample_at(picture, at.columns, at.plane, y, x)));
  }
  gpu::sync_block();  // nobody reads the lines of the prediction before this one any more
  for (int i = thread; i < kWindow * kSquare; i += kMotionThreads) {
    int32_t sum = 32;
    GPU_UNROLL for (int j = 0; j < kTaps; ++j) {
      sum += tap(vx & 3, j) * gpu::load_shared<int16_t>(2 * (i / kSquare * kWindow + i % kSquare + j));
    }
    gpu::store_shared(kLinesOffset + 2 * i, static_cast<int16_t>(sum >> 6));
  }
  gpu::sync_block();
  int32_t sum = 32;
  GPU_UNROLL for (int j = 0; j < kTaps; ++j) sum +=
      tap(vy & 3, j) * gpu::load_shared<int16_t>(kLinesOffset + 2 * (thread + kSquare * j));
  return sum >> 6;
}

// Return the weights in eighths of the square's own prediction and of its vertical neighbour's at this thread's sample.
// H.263, Annex F, has them.
GPU_FN int own_weight(int y, int x) {
  const bool outer_row = y == 0 || y == 7, middle_row = y >= 2 && y <= 5;
  const bool outer_column = x == 0 || x == 7, middle_column = x >= 2 && x <= 5;
  return outer_row && outer_column ? 4 : middle_row && middle_column ? 6 : 5;
}
GPU_FN int vertical_weight(int y, int x) {
  return y == 0 || y == 7 ? 2 : (y == 1 || y == 6) && x >= 2 && x <= 5 ? 2 : 1;
}

// Blends the sample with what the neighbours' vectors predict, and limits it. All threads of the block take the same
// branches, since predicted_by has barriers.
GPU_FN int32_t overlapped(const int16_t* picture, const int16_t* field, const SquarePlace& at) {
  const uint32_t own = vector_of(field, at, at.row, at.column);
  const uint32_t above = vector_of(field, at, at.row - 1, at.column),
                 below = vector_of(field, at, at.row + 1, at.column);
  const uint32_t left = vector_of(field, at, at.row, at.column - 1),
                 right = vector_of(field, at, at.row, at.column + 1);
  const int y = gpu::thread_index() / kSquare, x = gpu::thread_index() % kSquare;
  const int32_t p = predicted_by(picture, at, own);
  int32_t vertical = p, horizontal = p;
  if (above != own) {
    const int32_t v = predicted_by(picture, at, above);
    if (y < kSquare / 2) vertical = v;
  }
  if (below != own) {
    const int32_t v = predicted_by(picture, at, below);
    if (y >= kSquare / 2) vertical = v;
  }
  if (left != own) {
    const int32_t v = predicted_by(picture, at, left);
    if (x < kSquare / 2) horizontal = v;
  }
  if (right != own) {
    const int32_t v = predicted_by(picture, at, right);
    if (x >= kSquare / 2) horizontal = v;
  }
  const int a = own_weight(y, x), b = vertical_weight(y, x);
  return limit((a * p + b * vertical + (8 - a - b) * horizontal + 4) >> 3, 0, kUnit);
}

GPU_FN void compensate(const MotionArguments& p) {
  const SquarePlace at{gpu::block_y(), gpu::block_x(), p.rows, p.columns, gpu::block_z()};
  const int block = at.row / 2 * (p.columns / 2) + at.column / 2;
  const int blend = p.blends && p.long_term ? gpu::load_constant(p.blends + block) : 0;
  int32_t sample = 0;
  if (blend != kLongTerm) sample = overlapped(p.reference, p.vectors, at);
  if (blend != 0) {
    const int32_t second = overlapped(p.long_term, p.tracks, at);
    sample = blend == kMean ? (sample + second + 1) >> 1 : second;
  }
  gpu::store_global(p.out + cell_place(at.row, at.column, p.columns, at.plane) + gpu::thread_index(),
                    static_cast<int16_t>(sample));
}

}  // namespace dcvc::cuda
