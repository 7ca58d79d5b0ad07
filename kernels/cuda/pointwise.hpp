// Kernels do the operations that no layer's epilogue took, element by element, and move elements. A thread has 8
// channels of a position.
#pragma once

#include "kernels/cuda/arguments.hpp"
#include "kernels/cuda/arithmetic.hpp"

namespace dcvc::cuda {

constexpr int kPointwiseThreads = 256;
constexpr int kHalfToTwoNodes = 65, kStepSizeExponent = 13;

// Holds eight channels. Those beyond the tensor's are 0.
struct Eight {
  int32_t v[8];
};

GPU_FN bool is_aligned(const int16_t* base, int pitch) {
  return reinterpret_cast<uint64_t>(base) % 16 == 0 && pitch % 8 == 0;
}

GPU_FN Eight load_eight(const int16_t* base, int64_t position, int pitch, int channel, int channels) {
  Eight out;
  const int16_t* place = base + position * pitch + channel;
  if (is_aligned(base, pitch) && channel + 8 <= channels) {
    const Vec16 v = gpu::load_global(reinterpret_cast<const Vec16*>(place));
    GPU_UNROLL for (int i = 0; i < 4; ++i) {
      out.v[2 * i] = low_half(v.w[i]);
      out.v[2 * i + 1] = high_half(v.w[i]);
    }
  } else {
    GPU_UNROLL for (int i = 0; i < 8; ++i) out.v[i] = channel + i < channels ? gpu::load_global(place + i) : 0;
  }
  return out;
}

// Stores what is already inside 16 bits.
GPU_FN void store_eight(int16_t* base, int64_t position, int pitch, int channel, int channels, const Eight& values) {
  int16_t* place = base + position * pitch + channel;
  if (is_aligned(base, pitch) && channel + 8 <= channels) {
    Vec16 v;
    GPU_UNROLL for (int i = 0; i < 4; ++i) v.w[i] = gpu::pack_saturate16(values.v[2 * i], values.v[2 * i + 1]);
    gpu::store_global(reinterpret_cast<Vec16*>(place), v);
  } else {
    GPU_UNROLL for (int i = 0; i < 8; ++i) {
      if (channel + i < channels) gpu::store_global(place + i, static_cast<int16_t>(values.v[i]));
    }
  }
}

GPU_FN int32_t half_to_two(int32_t x, const uint32_t* table, int exponent) {
  const int32_t absolute = x < 0 ? -x : x;
  const int64_t wide = static_cast<int64_t>(absolute) << (15 - exponent);
  const int32_t magnitude = wide < (8 << 15) - 1 ? static_cast<int32_t>(wide) : (8 << 15) - 1;
  const uint32_t word = gpu::load_constant(table + (magnitude >> 12));
  const int32_t distance = low_half(word) + shift_round(high_half(word) * (magnitude & 4095), 12);
  return (5 << 11) + (x < 0 ? -distance : distance);
}

// Returns sat16(round(a b, shift)). shift lies in -15..30.
GPU_FN int32_t shifted_product(int32_t a, int32_t b, int shift) {
  const int64_t product = static_cast<int64_t>(a) * b;
  const int64_t v = shift > 0 ? (product + (int64_t{1} << (shift - 1))) >> shift : product * (int64_t{1} << -shift);
  return static_cast<int32_t>(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
}

enum class Pointwise {
  kCopy,
  kReplicate,
  kAdd,
  kAddFours,
  kMultiply,
  kScale,
  kActivate,
  kAtLeast,
  kHalfToTwo,
  kPicture,
  kOffset,
  kRescale
};

template <Pointwise kOperation>
GPU_FN void pointwise(const PointwiseArguments& p) {
  if (kOperation == Pointwise::kActivate) {
    if (gpu::thread_index() < 64) {
      gpu::store_shared<uint32_t>(4 * gpu::thread_index(), gpu::load_constant(p.table + gpu::thread_index()));
    }
    gpu::sync_block();
  }
  const int chunks = (p.out_channels + 7) / 8;  // the engine refuses tensors whose elements 32 bits do not count
  const int piece = gpu::block_x() * kPointwiseThreads + gpu::thread_index();
  if (piece >= p.height * p.width * chunks) return;
  const int position = piece / chunks, channel = piece % chunks * 8;
  int row = position / p.width, column = position % p.width;
  if (kOperation == Pointwise::kReplicate) {  // what lies outside x is its nearest position
    row = minimum(row, p.x_height - 1);
    column = minimum(column, p.x_width - 1);
  }
  const int from = row * p.x_width + column;
  if (kOperation == Pointwise::kAddFours) {
    Eight sums;
    GPU_UNROLL for (int i = 0; i < 4; ++i) {
      const Eight part = load_eight(p.x, from, p.pitch, 4 * channel + 8 * i, p.channels);
      sums.v[2 * i] = saturate16(part.v[0] + part.v[1] + part.v[2] + part.v[3]);
      sums.v[2 * i + 1] = saturate16(part.v[4] + part.v[5] + part.v[6] + part.v[7]);
    }
    store_eight(p.out, position, p.out_pitch, channel, p.out_channels, sums);
    return;
  }
  Eight x = load_eight(p.x, from, p.pitch, channel, p.channels);
  if (kOperation == Pointwise::kAdd || (kOperation == Pointwise::kMultiply && p.y_channels > 1)) {
    const Eight y = load_eight(p.y, position, p.y_pitch, channel, p.channels);
    GPU_UNROLL for (int i = 0; i < 8; ++i) {
      x.v[i] =
          kOperation == Pointwise::kAdd ? saturate16(x.v[i] + y.v[i]) : shifted_product(x.v[i], y.v[i], p.exponent);
    }
  } else if (kOperation == Pointwise::kMultiply) {
    const int32_t y = gpu::load_global(p.y + position * p.y_pitch);
    GPU_UNROLL for (int i = 0; i < 8; ++i) x.v[i] = shifted_product(x.v[i], y, p.exponent);
  } else if (kOperation == Pointwise::kScale) {
    const int which = gpu::load_constant(p.row), shift = gpu::load_constant(p.shifts + which);
    const Eight f = load_eight(p.factors, which, p.factors_pitch, channel, p.channels);
    GPU_UNROLL for (int i = 0; i < 8; ++i) x.v[i] = scaled(x.v[i], f.v[i], shift);
  } else if (kOperation == Pointwise::kActivate) {
    GPU_UNROLL for (int i = 0; i < 8; ++i) x.v[i] = wsilu(x.v[i], 0, p.exponent);
  } else if (kOperation == Pointwise::kAtLeast) {
    GPU_UNROLL for (int i = 0; i < 8; ++i) x.v[i] = channel + i < p.channels ? maximum(x.v[i], p.bound) : 0;
  } else if (kOperation == Pointwise::kHalfToTwo) {
    GPU_UNROLL for (int i = 0; i < 8; ++i) {
      x.v[i] = channel + i < p.channels ? half_to_two(x.v[i], p.table, p.exponent) : 0;
    }
  } else if (kOperation == Pointwise::kPicture) {
    GPU_UNROLL for (int i = 0; i < 8; ++i) x.v[i] = picture_value(x.v[i], p.exponent, p.bound);
  } else if (kOperation == Pointwise::kOffset) {
    GPU_UNROLL for (int i = 0; i < 8; ++i) x.v[i] = channel + i < p.channels ? saturate16(x.v[i] + p.bound) : 0;
  } else if (kOperation == Pointwise::kRescale) {
    GPU_UNROLL for (int i = 0; i < 8; ++i) {
      x.v[i] = channel + i < p.channels ? shifted_product(x.v[i] + p.bound, 1, p.exponent) : 0;
    }
  }
  store_eight(p.out, position, p.out_pitch, channel, p.out_channels, x);
}

// Shuffles pixels, or unshuffles them with kReverse. A thread has one element. The padding of the output's channels
// becomes 0.
template <bool kReverse>
GPU_FN void shuffle(const ShuffleArguments& p) {
  const int index = gpu::block_x() * kPointwiseThreads + gpu::thread_index();
  const int f = p.factor, cells = f * f, height = kReverse ? p.height : p.height * f,
            width = kReverse ? p.width : p.width * f;
  const int channels = kReverse ? p.channels * cells : p.channels;
  if (index >= height * width * p.out_pitch) return;
  const int channel = index % p.out_pitch, position = index / p.out_pitch;
  if (channel >= channels) {
    gpu::store_global(p.out + index, int16_t{0});
    return;
  }
  const int y = position / width, x = position % width;
  int64_t from;
  if (kReverse) {
    const int cell = channel % cells;
    from = (static_cast<int64_t>(y * f + cell / f) * (p.width * f) + x * f + cell % f) * p.pitch + channel / cells;
  } else {
    from = (static_cast<int64_t>(y / f) * p.width + x / f) * p.pitch + channel * cells + y % f * f + x % f;
  }
  gpu::store_global(p.out + index, gpu::load_global(p.x + from));
}

}  // namespace dcvc::cuda
