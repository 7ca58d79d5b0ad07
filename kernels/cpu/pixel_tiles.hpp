// The loop over pixels and inputs around an instruction set's tile of products. Each instruction set's file includes
// its own copy, so all stands in an anonymous namespace.
#pragma once

#include "kernels/cpu/kernel_table.hpp"

namespace dcvc::kernels {
namespace {

// A function (x, stride, weights, num_pairs, more, sums) that adds products of some inputs to the sums of a tile's
// pixels.
using AccumulateTile = void (*)(const int16_t*, ptrdiff_t, const int16_t*, int, bool, int32_t*);

// The sums of an output block by tiles of kPixels pixels and of one pixel. It takes kPairsAtOnce pairs of inputs at
// once, so that their weights stay in the cache.
template <int kPixels, int kPairsAtOnce, AccumulateTile kTile, AccumulateTile kSingle>
void accumulate_by_tiles(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, int32_t* sums) {
  const int16_t* weights = matrix.pairs + static_cast<ptrdiff_t>(block) * matrix.num_pairs * 2 * kBlockOutputs;
  for (int first = 0; first < matrix.num_pairs; first += kPairsAtOnce, weights += 2 * kBlockOutputs * kPairsAtOnce) {
    const int count = matrix.num_pairs - first < kPairsAtOnce ? matrix.num_pairs - first : kPairsAtOnce;
    const int16_t* x = rows.values + 2 * first;
    int pixel = 0;
    for (; pixel + kPixels <= num_pixels; pixel += kPixels) {
      kTile(x + pixel * rows.stride, rows.stride, weights, count, first > 0, sums + pixel * kBlockOutputs);
    }
    for (; pixel < num_pixels; ++pixel)
      kSingle(x + pixel * rows.stride, rows.stride, weights, count, first > 0, sums + pixel * kBlockOutputs);
  }
}

}  // namespace
}  // namespace dcvc::kernels
