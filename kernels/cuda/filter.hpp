// The output filter changes the planes that are put out. Source: docs/output-filter.md.
#pragma once

#include "kernels/cuda/picture.hpp"

namespace dcvc::cuda {

constexpr int kFilterBlock = 4, kLumaTerms = 12, kChromaTerms = 16, kOffsets = 6, kStepLimit = 128;

struct PlaneView {
  const int16_t* samples;
  int height, width;

  GPU_FN int32_t at(int y, int x) const {
    return gpu::load_constant(samples + static_cast<int64_t>(limit(y, 0, height - 1)) * width + limit(x, 0, width - 1));
  }
};

// Holds d + d and e + e of an offset and its opposite around a sample.
struct TermPair {
  int32_t plain, limited;
};
GPU_FN TermPair terms_of(const PlaneView& plane, int32_t here, int y, int x, int dy, int dx) {
  const int32_t after = plane.at(y + dy, x + dx) - here, before = plane.at(y - dy, x - dx) - here;
  return {after + before, limit(after, -kStepLimit, kStepLimit) + limit(before, -kStepLimit, kStepLimit)};
}

// The six offsets are (0, 1) (1, 0) (1, 1) (1, -1) (0, 2) (2, 0).
GPU_FN int offset_row(int k) { return k == 0 || k == 4 ? 0 : k == 5 ? 2 : 1; }
GPU_FN int offset_column(int k) { return k == 3 ? -1 : k == 4 ? 2 : k == 1 || k == 5 ? 0 : 1; }

GPU_FN int32_t absolute(int32_t v) { return v < 0 ? -v : v; }

// Sums up second differences of a 4x4 block of luma, vertically and horizontally. A thread has one block.
GPU_FN void filter_sums(const FilterArguments& p) {
  const int columns = p.width / kFilterBlock, index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.height / kFilterBlock * columns) return;
  const PlaneView plane{p.plane, p.height, p.width};
  int32_t vertical = 0, horizontal = 0;
  for (int i = 0; i < kFilterBlock * kFilterBlock; ++i) {
    const int y = index / columns * kFilterBlock + i / kFilterBlock,
              x = index % columns * kFilterBlock + i % kFilterBlock;
    const int32_t here = 2 * plane.at(y, x);
    vertical += absolute(here - plane.at(y - 1, x) - plane.at(y + 1, x));
    horizontal += absolute(here - plane.at(y, x - 1) - plane.at(y, x + 1));
  }
  gpu::store_global(p.sums + 2 * index, vertical);
  gpu::store_global(p.sums + 2 * index + 1, horizontal);
}

// Returns the class of the 4x4 block at (row, column), from the sums of the 3x3 blocks around it.
GPU_FN int block_class(const FilterArguments& p, int row, int column) {
  const int rows = p.height / kFilterBlock, columns = p.width / kFilterBlock;
  int32_t vertical = 0, horizontal = 0;
  for (int i = 0; i < 9; ++i) {
    const int32_t* sums =
        p.sums + 2 * (limit(row + i / 3 - 1, 0, rows - 1) * columns + limit(column + i % 3 - 1, 0, columns - 1));
    vertical += gpu::load_constant(sums);
    horizontal += gpu::load_constant(sums + 1);
  }
  const int32_t all = vertical + horizontal;
  const int activity = (all >= 2697) + (all >= 6967) + (all >= 13740) + (all >= 24430) + (all >= 41400) +
                       (all >= 68000) + (all >= 110560);
  return 3 * activity + (2 * vertical < horizontal ? 0 : vertical > 2 * horizontal ? 2 : 1);
}

// Filters a plane. A thread has one sample.
template <bool kChroma>
GPU_FN void filter(const FilterArguments& p) {
  const int index = gpu::block_x() * kPictureThreads + gpu::thread_index();
  if (index >= p.height * p.width) return;
  const int y = index / p.width, x = index % p.width;
  const PlaneView plane{p.plane, p.height, p.width};
  const int8_t* coefficients = p.coefficients;
  if (!kChroma) coefficients += kLumaTerms * block_class(p, y / kFilterBlock, x / kFilterBlock);
  const int32_t here = plane.at(y, x);
  int32_t sum = 32;
  GPU_UNROLL for (int k = 0; k < kOffsets; ++k) {
    const TermPair terms = terms_of(plane, here, y, x, offset_row(k), offset_column(k));
    sum += gpu::load_constant(coefficients + k) * terms.plain +
           gpu::load_constant(coefficients + kOffsets + k) * terms.limited;
  }
  if (kChroma) {
    const PlaneView companion{p.companion, p.height, p.width};
    const int32_t beside = companion.at(y, x);
    GPU_UNROLL for (int k = 0; k < 2; ++k) {
      const TermPair terms = terms_of(companion, beside, y, x, offset_row(k), offset_column(k));
      sum += gpu::load_constant(coefficients + kLumaTerms + k) * terms.plain;
      sum += gpu::load_constant(coefficients + kLumaTerms + 2 + k) * terms.limited;
    }
  }
  gpu::store_global(p.out + index, static_cast<int16_t>(limit(here + (sum >> 6), 0, kUnit)));
}

}  // namespace dcvc::cuda
