// The layers in packed form. They are made once from plain integer arrays.
#pragma once

#include "kernels/base/memory.hpp"
#include "kernels/cpu/kernel_table.hpp"

namespace dcvc::kernels {

// Weights of num_outputs x num_inputs with multipliers and addends, packed for kernels on pairs and kernels on tiles.
class Matrix {
 public:
  // weights: [num_outputs][num_inputs], |w| <= 32767, sum |w| of a row <= 65535.
  Matrix(const int16_t* weights, const int32_t* multiplier, const int64_t* addend, int num_outputs, int num_inputs);

  int num_outputs() const { return num_outputs_; }
  int num_inputs() const { return num_inputs_; }
  int num_blocks() const { return (num_outputs_ + kBlockOutputs - 1) / kBlockOutputs; }
  MatrixView view() const;
  const int32_t* multiplier(int block) const { return multiplier_.data() + block * kBlockOutputs; }
  const int64_t* addend(int block) const { return addend_.data() + block * kBlockOutputs; }

 private:
  void pack_tiles(const int16_t* weights);

  int num_outputs_, num_inputs_;
  bool narrow_ = true;
  AlignedArray<int16_t> pairs_;
  AlignedArray<int8_t> tiles_high_;
  AlignedArray<uint8_t> tiles_low_;
  AlignedArray<int32_t> multiplier_;
  AlignedArray<int64_t> addend_;
};

class DepthwiseLayer {
 public:
  // weights: [channels][9] in raster order of the 3x3 cell.
  DepthwiseLayer(const int16_t* weights, const int32_t* multiplier, const int64_t* addend, int channels);

  int channels() const { return channels_; }
  DepthwiseView view() const { return {taps_.data(), multiplier_.data(), addend_.data(), channels_}; }

 private:
  int channels_;
  AlignedArray<int16_t> taps_;
  AlignedArray<int32_t> multiplier_;
  AlignedArray<int64_t> addend_;
};

// A convolution as a matrix over gathered patches. A patch has its inputs in the order row, column, channel.
struct ConvLayer {
  Matrix matrix;
  int channels, kernel, stride, padding;
};

// The layers of a depth-conv block (`DepthConvBlock` and `FourfoldBlock` in dcvc_cli/graph/blocks.py). The wide layer
// stands in two halves where these are added, and is whole where each four neighbouring channels are.
struct BlockLayers {
  const ConvLayer* adaptor;  // null: none
  const ConvLayer* dc_in;
  const DepthwiseLayer* dc_spatial;
  const ConvLayer* dc_out;
  const ConvLayer* ffn_first;
  const ConvLayer* ffn_second;  // null: each four neighbouring channels of ffn_first are added
  const ConvLayer* ffn_out;
  int dc_exponent, ffn_exponent;
  bool shortcut;

  int channels() const { return dc_out->matrix.num_outputs(); }
  int inner() const { return dc_spatial->channels(); }
  int added() const { return ffn_out->matrix.num_inputs(); }
  // Weights of the pointwise layers.
  size_t num_weights() const {
    size_t sum = 0;
    for (const ConvLayer* layer : {adaptor, dc_in, dc_out, ffn_first, ffn_second, ffn_out}) {
      if (layer)
        sum += static_cast<size_t>(layer->matrix.num_outputs()) * static_cast<size_t>(layer->matrix.num_inputs());
    }
    return sum;
  }
};

}  // namespace dcvc::kernels
