#include "kernels/cpu/layer_bindings.hpp"

#include <string>

namespace dcvc::kernels {
namespace {

void require_weights(const Array<int16_t>& weights, ssize_t row) {
  const int16_t* w = weights.data();
  for (ssize_t first = 0; first < weights.size(); first += row) {
    int64_t sum = 0;
    for (ssize_t i = first; i < first + row; ++i) {
      require(w[i] != -32768, "a weight is -32768");
      sum += w[i] < 0 ? -w[i] : w[i];
    }
    require(sum <= kMostRowSum, "a row of weights sums to more than 65535");
  }
}

void require_rescale(const Array<int32_t>& multiplier, const Array<int64_t>& addend, ssize_t num_outputs) {
  require(
      multiplier.ndim() == 1 && addend.ndim() == 1 && multiplier.size() == num_outputs && addend.size() == num_outputs,
      "multiplier and addend must be (num_outputs,)");
  for (ssize_t i = 0; i < num_outputs; ++i) {
    const int64_t most = int64_t{1} << 62;
    require(multiplier.data()[i] >= 0 && addend.data()[i] >= -most && addend.data()[i] <= most,
            "multiplier or addend out of range");
  }
}

void require_pointwise(const ConvPtr& layer, int inputs, int outputs, const char* name) {
  require(layer && layer->kernel == 1 && layer->stride == 1 && layer->padding == 0,
          std::string(name) + " must be a 1x1 convolution");
  require(layer->channels == inputs && layer->matrix.num_outputs() == outputs,
          std::string(name) + " has the wrong number of channels");
}

}  // namespace

ConvPtr make_conv(const Array<int16_t>& weights, const Array<int32_t>& multiplier, const Array<int64_t>& addend,
                  int stride, int padding) {
  require(weights.ndim() == 4 && weights.size() > 0 && weights.shape(1) == weights.shape(2),
          "weights must be (num_outputs, k, k, channels)");
  require(stride >= 1 && stride <= 16 && padding >= 0 && padding <= 16 && weights.shape(1) <= 16,
          "stride, padding or kernel out of range");
  require(weights.shape(0) <= kMostChannels && weights.shape(3) <= kMostChannels, "too many channels");
  const ssize_t num_inputs = weights.size() / weights.shape(0);
  require_weights(weights, num_inputs);
  require_rescale(multiplier, addend, weights.shape(0));
  return std::shared_ptr<ConvLayer>(
      new ConvLayer{Matrix(weights.data(), multiplier.data(), addend.data(), static_cast<int>(weights.shape(0)),
                           static_cast<int>(num_inputs)),
                    static_cast<int>(weights.shape(3)), static_cast<int>(weights.shape(1)), stride, padding});
}

DepthwisePtr make_depthwise(const Array<int16_t>& weights, const Array<int32_t>& multiplier,
                            const Array<int64_t>& addend) {
  require(weights.ndim() == 2 && weights.shape(1) == 9 && weights.shape(0) > 0 && weights.shape(0) <= kMostChannels,
          "weights must be (channels, 9)");
  require_weights(weights, 9);
  require_rescale(multiplier, addend, weights.shape(0));
  return std::make_shared<DepthwiseLayer>(weights.data(), multiplier.data(), addend.data(),
                                          static_cast<int>(weights.shape(0)));
}

std::shared_ptr<BoundBlock> make_block(const ConvPtr& adaptor, const ConvPtr& dc_in, const DepthwisePtr& dc_spatial,
                                       const ConvPtr& dc_out, const ConvPtr& ffn_first, const ConvPtr& ffn_second,
                                       const ConvPtr& ffn_out, int dc_exponent, int ffn_exponent, bool shortcut) {
  require(dc_spatial && dc_out && ffn_first && ffn_out, "a block needs all its layers");
  const int c = dc_out->matrix.num_outputs(), inner = dc_spatial->channels();
  const int wide = ffn_first->matrix.num_outputs(), added = ffn_second ? wide : wide / 4;
  require(c % 2 == 0 && inner % 2 == 0 && added % 2 == 0 && wide % 4 == 0, "a block needs an even number of channels");
  if (adaptor) {
    require_pointwise(adaptor, adaptor->channels, c, "adaptor");
    require(adaptor->channels % 2 == 0, "a block needs an even number of input channels");
  }
  require_pointwise(dc_in, c, inner, "dc_in");
  require_pointwise(dc_out, inner, c, "dc_out");
  require_pointwise(ffn_first, c, wide, "ffn_first");
  if (ffn_second) require_pointwise(ffn_second, c, wide, "ffn_second");
  require_pointwise(ffn_out, added, c, "ffn_out");
  require(is_activation_exponent(dc_exponent) && is_activation_exponent(ffn_exponent),
          "activation exponents must be 5..13");
  auto block =
      std::make_shared<BoundBlock>(BoundBlock{adaptor, dc_in, dc_out, ffn_first, ffn_second, ffn_out, dc_spatial, {}});
  block->layers = {adaptor.get(),    dc_in.get(),   dc_spatial.get(), dc_out.get(), ffn_first.get(),
                   ffn_second.get(), ffn_out.get(), dc_exponent,      ffn_exponent, shortcut};
  return block;
}

}  // namespace dcvc::kernels
