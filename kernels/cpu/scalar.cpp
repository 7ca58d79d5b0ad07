// The twin of every fast kernel, in plain C++.
#include "kernels/cpu/elementwise.hpp"

namespace dcvc::kernels {
namespace {

void accumulate(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, int32_t* sums) {
  const int16_t* weights = matrix.pairs + static_cast<ptrdiff_t>(block) * matrix.num_pairs * 2 * kBlockOutputs;
  for (int pixel = 0; pixel < num_pixels; ++pixel) {
    const int16_t* x = rows.values + pixel * rows.stride;
    int32_t* sum = sums + pixel * kBlockOutputs;
    for (int n = 0; n < kBlockOutputs; ++n) sum[n] = 0;
    for (int pair = 0; pair < matrix.num_pairs; ++pair) {
      const int16_t* w = weights + static_cast<ptrdiff_t>(pair) * 2 * kBlockOutputs;
      for (int n = 0; n < kBlockOutputs; ++n) sum[n] += w[2 * n] * x[2 * pair] + w[2 * n + 1] * x[2 * pair + 1];
    }
  }
}

void finish(const int32_t* sums, int num_pixels, const Epilogue& e) {
  for (int pixel = 0; pixel < num_pixels; ++pixel) {
    int16_t values[kBlockOutputs];
    int16_t* to = e.add_fours ? values : e.out + pixel * e.out_stride;
    for (int position = 0; position < kBlockOutputs; ++position) {
      const int n = position / kLaneBlock * kLaneBlock + output_of_position(position % kLaneBlock);
      if (n >= e.num_outputs) continue;
      int16_t y =
          rescale(sums[pixel * kBlockOutputs + position], e.multiplier[position], e.addend[addend_place(position)]);
      if (e.activation) y = wsilu(y, *e.activation, e.exponent);
      if (e.first) y = saturating_sum(y, e.first[pixel * e.first_stride + n]);
      if (e.second) y = saturating_sum(y, e.second[pixel * e.second_stride + n]);
      to[n] = y;
    }
    if (e.add_fours) add_fours_all(values, e.num_outputs, e.out + pixel * e.out_stride);
  }
}

void depthwise(const int16_t* x, int height, int width, const DepthwiseView& layer, PixelRange range, int16_t* out,
               ptrdiff_t out_stride) {
  const int c = layer.channels;
  for (int k = 0; k < range.count; ++k, out += out_stride) {
    const int row = (range.first + k) / width, column = (range.first + k) % width;
    for (int block = 0; block < c; block += kLaneBlock) {
      for (int position = 0; position < kLaneBlock; ++position) {
        const int channel = block + output_of_position(position);
        if (channel >= c) continue;
        const int16_t* taps = layer.taps + static_cast<ptrdiff_t>(block) * 12 + 2 * position;
        int32_t sum = 0;
        for (int dy = 0; dy < 3; ++dy) {
          for (int dx = 0; dx < 3; ++dx) {
            const int r = row + dy - 1, q = column + dx - 1;
            if (r < 0 || r >= height || q < 0 || q >= width) continue;
            sum += taps[(dx * 2 + dy / 2) * 2 * kLaneBlock + dy % 2] *
                   x[(static_cast<ptrdiff_t>(r) * width + q) * c + channel];
          }
        }
        out[channel] = rescale(sum, layer.multiplier[block + position],
                               layer.addend[block + static_cast<int>(addend_place(position))]);
      }
    }
  }
}

}  // namespace

const KernelTable& scalar_kernels() {
  static const KernelTable table{"scalar", nullptr,  multiply_in_two<accumulate, finish>, depthwise, activate_all,
                                 add_all,  scale_all};
  return table;
}

}  // namespace dcvc::kernels
