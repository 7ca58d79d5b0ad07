// Pictures in cells of 8x8 samples: output samples, planes, block motion. Sources: docs/exact-arithmetic.md,
// docs/motion.md.
#pragma once

#include "kernels/base/samples.hpp"
#include "kernels/cuda/arguments.hpp"
#include "kernels/cuda/arithmetic.hpp"

namespace dcvc::cuda {

constexpr int kCellSamples = kCell * kCell, kPicturePitch = 3 * kCellSamples;
constexpr int kPictureThreads = 256;

// Byte of the sum of 2^extra_bits picture values.
GPU_FN int32_t sample_of_sum(int32_t sum, int extra_bits, bool truncated) {
  const int bits = kSampleBits + extra_bits;
  return (sum * 255 + (truncated ? 0 : 1 << (bits - 1))) >> bits;
}

// A cell's place in a tensor of `columns` cells a row.
GPU_FN int64_t cell_place(int row, int column, int columns, int plane) {
  return (static_cast<int64_t>(row) * columns + column) * kPicturePitch + plane * kCellSamples;
}

// The sum of the 2x2 samples of a halved plane at (y, x).
GPU_FN int32_t sum_of_four(const int16_t* cells, int columns, int plane, int y, int x) {
  const int16_t* place = cells + cell_place(y / 4, x / 4, columns, plane) + y % 4 * 2 * kCell + x % 4 * 2;
  const uint32_t upper = gpu::load_global(reinterpret_cast<const uint32_t*>(place));
  const uint32_t lower = gpu::load_global(reinterpret_cast<const uint32_t*>(place + kCell));
  return low_half(upper) + high_half(upper) + low_half(lower) + high_half(lower);
}

GPU_FN int32_t sample_at(const int16_t* cells, int columns, int plane, int y, int x) {
  return gpu::load_global(cells + cell_place(y / kCell, x / kCell, columns, plane) + y % kCell * kCell + x % kCell);
}

// 8-bit planes of the padded size; plane by block_y, one sample a thread.
GPU_FN void export_planes(const ExportArguments& p) {
  const int plane = gpu::block_y();
  const bool halved = plane > 0 && p.halved;
  const int side = halved ? kCell / 2 : kCell, width = p.columns * side;
  const int index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.rows * side * width) return;
  const int y = index / width, x = index % width;
  const bool truncated = plane > 0 && p.truncated;
  const int32_t sample = halved ? sample_of_sum(sum_of_four(p.cells, p.columns, plane, y, x), 2, truncated)
                                : sample_of_sum(sample_at(p.cells, p.columns, plane, y, x), 0, truncated);
  uint8_t* out = plane == 0 ? p.planes[0] : plane == 1 ? p.planes[1] : p.planes[2];
  gpu::store_global(out + index, static_cast<uint8_t>(sample));
}

// Planes in 0..8192 for the output filter: luma, Cb, Cr and with halved chroma the luma of its size; plane by block_y.
GPU_FN void filter_planes(const PlanesArguments& p) {
  const int which = gpu::block_y(), plane = which == 3 ? 0 : which;
  const bool halved = which > 0 && p.halved;
  const int side = halved ? kCell / 2 : kCell, width = p.columns * side;
  const int index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.rows * side * width) return;
  const int y = index / width, x = index % width;
  const int32_t value =
      halved ? (sum_of_four(p.cells, p.columns, plane, y, x) + 2) >> 2 : sample_at(p.cells, p.columns, plane, y, x);
  int16_t* out = which == 0 ? p.planes[0] : which == 1 ? p.planes[1] : which == 2 ? p.planes[2] : p.planes[3];
  gpu::store_global(out + index, static_cast<int16_t>(value));
}

// The upper left part of a plane as bytes.
GPU_FN void plane_bytes(const BytesArguments& p) {
  const int index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.height * p.width) return;
  const int64_t from = static_cast<int64_t>(index / p.width) * p.pitch + index % p.width;
  gpu::store_global(p.out + index, static_cast<uint8_t>(sample_of_sum(gpu::load_global(p.plane + from), 0, false)));
}

}  // namespace dcvc::cuda
