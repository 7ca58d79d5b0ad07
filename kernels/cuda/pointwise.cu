// Defines the depthwise layer, the operations element by element and the pixel shuffles.
#include "kernels/cuda/depthwise.hpp"
#include "kernels/cuda/pointwise.hpp"

using namespace dcvc::cuda;

GPU_KERNEL(depthwise_3x3, kSpatialThreads, 4, kSpatialBytes, DepthwiseArguments, depthwise)

#define POINTWISE(name, operation) \
  GPU_KERNEL(name, kPointwiseThreads, 4, 256, PointwiseArguments, pointwise<Pointwise::operation>)

POINTWISE(copy, kCopy)
POINTWISE(replicate, kReplicate)
POINTWISE(add, kAdd)
POINTWISE(add_fours, kAddFours)
POINTWISE(multiply, kMultiply)
POINTWISE(scale, kScale)
POINTWISE(activate, kActivate)
POINTWISE(at_least, kAtLeast)
POINTWISE(half_to_two_by_table, kHalfToTwo)
POINTWISE(to_picture, kPicture)
POINTWISE(offset, kOffset)
POINTWISE(rescale, kRescale)

GPU_KERNEL(pixel_shuffle, kPointwiseThreads, 4, 0, ShuffleArguments, shuffle<false>)
GPU_KERNEL(pixel_unshuffle, kPointwiseThreads, 4, 0, ShuffleArguments, shuffle<true>)
