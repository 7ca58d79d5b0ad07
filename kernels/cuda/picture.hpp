// Kernels read pictures in cells of 8x8 samples and write planes of them. Source: docs/exact-arithmetic.md.
#pragma once

#include "kernels/base/samples.hpp"
#include "kernels/cuda/arguments.hpp"
#include "kernels/cuda/arithmetic.hpp"

namespace dcvc::cuda {

constexpr int kCellSamples = kCell * kCell, kPicturePitch = 3 * kCellSamples;
constexpr int kPictureThreads = 256;

// Returns the byte of a sum of 2^extra_bits picture values.
GPU_FN int32_t sample_of_sum(int32_t sum, int extra_bits, bool truncated) {
  const int bits = kSampleBits + extra_bits;
  return (sum * 255 + (truncated ? 0 : 1 << (bits - 1))) >> bits;
}

// Returns a cell's place in a tensor of `columns` cells a row.
GPU_FN int64_t cell_place(int row, int column, int columns, int plane) {
  return (static_cast<int64_t>(row) * columns + column) * kPicturePitch + plane * kCellSamples;
}

// Returns the sum of the 2x2 samples of a halved plane at (y, x).
GPU_FN int32_t sum_of_four(const int16_t* cells, int columns, int plane, int y, int x) {
  const int16_t* place = cells + cell_place(y / 4, x / 4, columns, plane) + y % 4 * 2 * kCell + x % 4 * 2;
  const uint32_t upper = gpu::load_global(reinterpret_cast<const uint32_t*>(place));
  const uint32_t lower = gpu::load_global(reinterpret_cast<const uint32_t*>(place + kCell));
  return low_half(upper) + high_half(upper) + low_half(lower) + high_half(lower);
}

GPU_FN int32_t sample_at(const int16_t* cells, int columns, int plane, int y, int x) {
  return gpu::load_global(cells + cell_place(y / kCell, x / kCell, columns, plane) + y % kCell * kCell + x % kCell);
}

// Writes 8-bit planes of the padded size. block_y is the plane. A thread has one sample.
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

// Writes planes in 0..8192 for the output filter: luma, Cb, Cr and with halved chroma the luma of its size. block_y is
// the plane.
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

// Stores an output sample in as many bits as the output has.
GPU_FN void store_sample(uint8_t* out, uint16_t* deep, int index, uint32_t sample) {
  if (deep) {
    gpu::store_global(deep + index, static_cast<uint16_t>(sample));
  } else {
    gpu::store_global(out + index, static_cast<uint8_t>(sample));
  }
}

// Writes the upper left part of a filtered plane as output samples.
GPU_FN void plane_samples(const SamplesArguments& p) {
  const int index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.height * p.width) return;
  const int side = p.paired ? 2 : 1;
  const int16_t* from = p.plane + static_cast<int64_t>(index / p.width) * p.pitch + index % p.width * side;
  int32_t value = gpu::load_global(from);
  if (p.paired) value = (value + gpu::load_global(from + 1) + 1) >> 1;
  store_sample(p.out, p.deep, index, static_cast<uint32_t>((value * p.max_level + kUnit / 2) >> kSampleBits));
}

constexpr uint32_t kFine = 65535;

// Returns a sample in 1/65535.
GPU_FN uint32_t fine_sample(const FineArguments& p, int plane, int y, int x) {
  int32_t value;
  if (p.cells) {
    value = sample_at(p.cells, p.columns, plane, y, x);
  } else {
    const int16_t* full = plane == 0 ? p.full[0] : plane == 1 ? p.full[1] : p.full[2];
    value = gpu::load_global(full + static_cast<int64_t>(y) * (p.columns * kCell) + x);
  }
  return (static_cast<uint32_t>(value) * kFine + kUnit / 2) >> kSampleBits;
}

GPU_FN void store_fine(const FineArguments& p, int plane, int index, uint32_t sample) {
  store_sample(plane == 0   ? p.out[0]
               : plane == 1 ? p.out[1]
                            : p.out[2],
               plane == 0   ? p.deep[0]
               : plane == 1 ? p.deep[1]
                            : p.deep[2],
               index, sample);
}

// Writes planes of output samples. block_y is the plane. A thread has one sample. A chroma sample is the mean of those
// that it stands for.
GPU_FN void fine_planes(const FineArguments& p) {
  const int plane = gpu::block_y(), index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  const int height = plane == 0 ? p.height : p.chroma_height, width = plane == 0 ? p.width : p.chroma_width;
  if (index >= height * width) return;
  const int tall = plane == 0 ? 1 : p.tall, wide = plane == 0 ? 1 : p.wide;
  uint32_t sum = 0;
  for (int i = 0; i < tall * wide; ++i) {
    sum += fine_sample(p, plane, index / width * tall + i / wide, index % width * wide + i % wide);
  }
  const uint32_t unit = static_cast<uint32_t>(tall * wide) * kFine;
  const uint32_t half = plane > 0 && p.truncated ? 0 : unit / 2;
  store_fine(p, plane, index, (sum * static_cast<uint32_t>(p.max_level) + half) / unit);
}

// Writes red, green and blue. A thread has one position.
GPU_FN void fine_rgb(const FineArguments& p) {
  const int index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.height * p.width) return;
  const int y = index / p.width, x = index % p.width;
  const int64_t middle = (kFine + 1) / 2, luma = static_cast<int64_t>(fine_sample(p, 0, y, x)) << 16;
  const int64_t cb = fine_sample(p, 1, y, x) - middle, cr = fine_sample(p, 2, y, x) - middle;
  const int64_t colours[3] = {luma + p.factors[0] * cr, luma - p.factors[2] * cb - p.factors[3] * cr,
                              luma + p.factors[1] * cb};
  constexpr int64_t kMost = static_cast<int64_t>(kFine) << 16;
  GPU_UNROLL for (int plane = 0; plane < 3; ++plane) {
    const int64_t colour = colours[plane] < 0 ? 0 : colours[plane] > kMost ? kMost : colours[plane];
    // Dividing by 2^16 first changes nothing, and leaves a division in 32 bits.
    store_fine(p, plane, index, static_cast<uint32_t>((colour * p.max_level + kMost / 2) >> 16) / kFine);
  }
}

}  // namespace dcvc::cuda
