// Layers and blocks as Python makes them: from arrays whose types, shapes and bounds are checked here.
#pragma once

#include <memory>

#include "kernels/base/arrays.hpp"
#include "kernels/cpu/layers.hpp"

namespace dcvc::kernels {

constexpr int kMostRowSum = 65535;                     // largest sum of magnitudes in a row of weights
constexpr int kLeastExponent = 5, kMostExponent = 13;  // bounds for the exponent of an activation's input
constexpr int kMostChannels = 1 << 16;

inline bool is_activation_exponent(int exponent) { return exponent >= kLeastExponent && exponent <= kMostExponent; }

using ConvPtr = std::shared_ptr<ConvLayer>;
using DepthwisePtr = std::shared_ptr<DepthwiseLayer>;

// A block and the layers it refers to.
struct BoundBlock {
  ConvPtr adaptor, dc_in, dc_out, ffn_first, ffn_second, ffn_out;
  DepthwisePtr dc_spatial;
  BlockLayers layers;
};

// weights: (num_outputs, k, k, channels).
ConvPtr make_conv(const Array<int16_t>& weights, const Array<int32_t>& multiplier, const Array<int64_t>& addend,
                  int stride, int padding);
// weights: (channels, 9).
DepthwisePtr make_depthwise(const Array<int16_t>& weights, const Array<int32_t>& multiplier,
                            const Array<int64_t>& addend);
// adaptor: null for none. ffn_second: null where each four neighbouring channels of ffn_first are added.
std::shared_ptr<BoundBlock> make_block(const ConvPtr& adaptor, const ConvPtr& dc_in, const DepthwisePtr& dc_spatial,
                                       const ConvPtr& dc_out, const ConvPtr& ffn_first, const ConvPtr& ffn_second,
                                       const ConvPtr& ffn_out, int dc_exponent, int ffn_exponent, bool shortcut);

}  // namespace dcvc::kernels
