// NEON, which every 64-bit Arm processor has: an instruction adds four 16-bit products to 32-bit sums.
#include <arm_neon.h>

#include "kernels/cpu/elementwise.hpp"
#include "kernels/cpu/pixel_tiles.hpp"

namespace dcvc::kernels {
namespace {

// So many pairs of inputs that their weights for 16 outputs stay in the first-level cache beside the rows.
constexpr int kPairsAtOnce = 128;
constexpr int kTilePixels = 4, kTileOutputs = 16, kVector = 8;

// The sums of one pixel for 16 positions. Members have names so that compilers keep them in registers.
struct PixelSums {
  int32x4_t a, b, c, d;

  [[gnu::always_inline]] void start(const int32_t* sums, bool more) {
    if (more) {
      a = vld1q_s32(sums);
      b = vld1q_s32(sums + 4);
      c = vld1q_s32(sums + 8);
      d = vld1q_s32(sums + 12);
    } else {
      a = b = c = d = vdupq_n_s32(0);
    }
  }

  // w0, w1: weights of the first and of the second input for 8 positions.
  [[gnu::always_inline]] void add(const int16_t* x, int16x8x2_t w0, int16x8x2_t w1) {
    int32_t both;
    __builtin_memcpy(&both, x, sizeof both);
    const int16x4_t two = vreinterpret_s16_s32(vdup_n_s32(both));
    a = vmlal_lane_s16(vmlal_lane_s16(a, vget_low_s16(w0.val[0]), two, 0), vget_low_s16(w0.val[1]), two, 1);
    b = vmlal_lane_s16(vmlal_lane_s16(b, vget_high_s16(w0.val[0]), two, 0), vget_high_s16(w0.val[1]), two, 1);
    c = vmlal_lane_s16(vmlal_lane_s16(c, vget_low_s16(w1.val[0]), two, 0), vget_low_s16(w1.val[1]), two, 1);
    d = vmlal_lane_s16(vmlal_lane_s16(d, vget_high_s16(w1.val[0]), two, 0), vget_high_s16(w1.val[1]), two, 1);
  }

  [[gnu::always_inline]] void store(int32_t* sums) const {
    vst1q_s32(sums, a);
    vst1q_s32(sums + 4, b);
    vst1q_s32(sums + 8, c);
    vst1q_s32(sums + 12, d);
  }
};

// The products of four pixels (or one) and 16 outputs: 16 accumulators, 4 weight registers. more: adds to the sums
// instead of replacing them.
template <int kPixels>
void accumulate_tile(const int16_t* x, ptrdiff_t stride, const int16_t* weights, int num_pairs, bool more,
                     int32_t* sums) {
  for (int n = 0; n < kBlockOutputs; n += kTileOutputs, sums += kTileOutputs) {
    PixelSums p0, p1, p2, p3;
    p0.start(sums, more);
    if constexpr (kPixels > 1) {
      p1.start(sums + kBlockOutputs, more);
      p2.start(sums + 2 * kBlockOutputs, more);
      p3.start(sums + 3 * kBlockOutputs, more);
    }
    const int16_t* w = weights + 2 * n;
    const int16_t* two = x;
    for (int pair = 0; pair < num_pairs; ++pair, w += 2 * kBlockOutputs, two += 2) {
      const int16x8x2_t w0 = vld2q_s16(w), w1 = vld2q_s16(w + 2 * kVector);
      p0.add(two, w0, w1);
      if constexpr (kPixels > 1) {
        p1.add(two + stride, w0, w1);
        p2.add(two + 2 * stride, w0, w1);
        p3.add(two + 3 * stride, w0, w1);
      }
    }
    p0.store(sums);
    if constexpr (kPixels > 1) {
      p1.store(sums + kBlockOutputs);
      p2.store(sums + 2 * kBlockOutputs);
      p3.store(sums + 3 * kBlockOutputs);
    }
  }
}

constexpr auto accumulate =
    accumulate_by_tiles<kTilePixels, kPairsAtOnce, accumulate_tile<kTilePixels>, accumulate_tile<1>>;

// The rescale of 8 neighbouring outputs of a group of 32, whose multipliers and addends stand at four positions in the
// group's first half and at four in its second half.
struct Rescale8 {
  int32x4_t low_multiplier, high_multiplier;
  int64x2_t low01, low23, high01, high23;

  // first: the first of the 8 outputs in the group, a multiple of 8.
  Rescale8(const int32_t* multiplier, const int64_t* addend, int first) {
    const int position = first / 2, place = first / 4;
    low_multiplier = vld1q_s32(multiplier + position);
    high_multiplier = vld1q_s32(multiplier + 16 + position);
    const int64x2_t low_even = vld1q_s64(addend + place), low_odd = vld1q_s64(addend + 8 + place);
    const int64x2_t high_even = vld1q_s64(addend + 16 + place), high_odd = vld1q_s64(addend + 24 + place);
    low01 = vzip1q_s64(low_even, low_odd);
    low23 = vzip2q_s64(low_even, low_odd);
    high01 = vzip1q_s64(high_even, high_odd);
    high23 = vzip2q_s64(high_even, high_odd);
  }

  // (sum * M + R) >> 32, saturated to 16 bits. The shifted value fits 32 bits, because the 64-bit value does not
  // overflow.
  static int16x4_t rescale4(int32x4_t sums, int32x4_t multiplier, int64x2_t addend01, int64x2_t addend23) {
    const int64x2_t first = vmlal_s32(addend01, vget_low_s32(sums), vget_low_s32(multiplier));
    const int64x2_t second = vmlal_high_s32(addend23, sums, multiplier);
    return vqmovn_s32(vcombine_s32(vshrn_n_s64(first, 32), vshrn_n_s64(second, 32)));
  }

  int16x8_t operator()(int32x4_t low, int32x4_t high) const {
    return vcombine_s16(rescale4(low, low_multiplier, low01, low23), rescale4(high, high_multiplier, high01, high23));
  }
};

// Tables of 64 entries, split into bytes because NEON looks up bytes.
struct ByteTables {
  uint8x16x4_t low, high;

  explicit ByteTables(const int16_t* values) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(values);
    for (int k = 0; k < 4; ++k) {
      const uint8x16x2_t part = vld2q_u8(bytes + 32 * k);
      low.val[k] = part.val[0];
      high.val[k] = part.val[1];
    }
  }

  int16x8_t operator[](uint8x8_t index) const {
    const uint8x8x2_t bytes = vzip_u8(vqtbl4_u8(low, index), vqtbl4_u8(high, index));
    return vreinterpretq_s16_u8(vcombine_u8(bytes.val[0], bytes.val[1]));
  }
};

struct Activation8 {
  ByteTables nodes, rises;
  uint16x8_t limit, piece_mask;
  int16x8_t piece_shift, within_shift, final_shift;

  Activation8(const ActivationTable& table, int exponent)
      : nodes(table.nodes),
        rises(table.rises),
        limit(vdupq_n_u16(static_cast<uint16_t>((2 << exponent) - 1))),
        piece_mask(vdupq_n_u16(static_cast<uint16_t>((1 << (exponent - 5)) - 1))),
        piece_shift(vdupq_n_s16(static_cast<int16_t>(5 - exponent))),
        within_shift(vdupq_n_s16(static_cast<int16_t>(20 - exponent))),
        final_shift(vdupq_n_s16(static_cast<int16_t>(exponent - 18))) {}

  int16x8_t operator()(int16x8_t x) const {
    const uint16x8_t magnitude = vminq_u16(vreinterpretq_u16_s16(vabsq_s16(x)), limit);
    const uint8x8_t piece = vmovn_u16(vshlq_u16(magnitude, piece_shift));
    const int16x8_t within = vreinterpretq_s16_u16(vshlq_u16(vandq_u16(magnitude, piece_mask), within_shift));
    const int16x8_t g = vaddq_s16(nodes[piece], vqrdmulhq_s16(rises[piece], within));
    return vsubq_s16(vmaxq_s16(x, vdupq_n_s16(0)), vrshlq_s16(g, final_shift));
  }
};

void activate(const int16_t* x, size_t count, const ActivationTable& table, int exponent, int16_t* out) {
  const Activation8 activate_lanes(table, exponent);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) vst1q_s16(out + i, activate_lanes(vld1q_s16(x + i)));
  activate_all(x + i, count - i, table, exponent, out + i);
}

// Loads 8 values, of which only the first `valid` exist.
inline int16x8_t load_some(const int16_t* values, int valid) {
  if (valid >= kVector) return vld1q_s16(values);
  int16_t copy[kVector] = {};
  __builtin_memcpy(copy, values, static_cast<size_t>(valid) * sizeof(int16_t));
  return vld1q_s16(copy);
}

inline void store_some(int16_t* out, int valid, int16x8_t values) {
  if (valid >= kVector) {
    vst1q_s16(out, values);
    return;
  }
  int16_t copy[kVector];
  vst1q_s16(copy, values);
  __builtin_memcpy(out, copy, static_cast<size_t>(valid) * sizeof(int16_t));
}

void finish_fours(const int32_t* sums, int num_pixels, const Epilogue& e) {
  const Activation8 activate_lanes(*e.activation, e.exponent);
  for (int n = 0; n < e.num_outputs; n += kVector) {
    const int group = n / kLaneBlock * kLaneBlock, position = group + n % kLaneBlock / 2;
    const size_t count = e.num_outputs - n < kVector ? 1 : 2;
    const Rescale8 rescale_lanes(e.multiplier + group, e.addend + group, n % kLaneBlock);
    for (int pixel = 0; pixel < num_pixels; ++pixel) {
      const int32_t* sum = sums + pixel * kBlockOutputs + position;
      const int32x4_t twos = vpaddlq_s16(activate_lanes(rescale_lanes(vld1q_s32(sum), vld1q_s32(sum + 16))));
      int16_t fours[4];
      vst1_s16(fours, vqmovn_s32(vpaddq_s32(twos, twos)));
      __builtin_memcpy(e.out + pixel * e.out_stride + n / 4, fours, count * sizeof(int16_t));
    }
  }
}

template <bool kActivate>
void finish_as(const int32_t* sums, int num_pixels, const Epilogue& e) {
  static const ActivationTable kNone{};
  const Activation8 activate_lanes(kActivate ? *e.activation : kNone, kActivate ? e.exponent : 5);
  for (int n = 0; n < e.num_outputs; n += kVector) {
    const int group = n / kLaneBlock * kLaneBlock, position = group + n % kLaneBlock / 2, valid = e.num_outputs - n;
    const Rescale8 rescale_lanes(e.multiplier + group, e.addend + group, n % kLaneBlock);
    for (int pixel = 0; pixel < num_pixels; ++pixel) {
      const int32_t* sum = sums + pixel * kBlockOutputs + position;
      int16x8_t y = rescale_lanes(vld1q_s32(sum), vld1q_s32(sum + 16));
      if (kActivate) y = activate_lanes(y);
      if (e.first) y = vqaddq_s16(y, load_some(e.first + pixel * e.first_stride + n, valid));
      if (e.second) y = vqaddq_s16(y, load_some(e.second + pixel * e.second_stride + n, valid));
      store_some(e.out + pixel * e.out_stride + n, valid, y);
    }
  }
}

void finish(const int32_t* sums, int num_pixels, const Epilogue& e) {
  if (e.add_fours) return finish_fours(sums, num_pixels, e);
  e.activation ? finish_as<true>(sums, num_pixels, e) : finish_as<false>(sums, num_pixels, e);
}

// The nine taps of 8 neighbouring channels, in raster order.
struct Taps8 {
  int16x8_t at[9];

  // taps: those of a group of 32 channels. first: the first of the 8 channels in the group, a multiple of 8.
  Taps8(const int16_t* taps, int first) {
    for (int dx = 0; dx < 3; ++dx) {
      const int16_t* rows01 = taps + dx * 4 * kLaneBlock + first;
      const int16_t* row2 = rows01 + 2 * kLaneBlock;
      const int16x4x2_t low01 = vld2_s16(rows01), high01 = vld2_s16(rows01 + kLaneBlock);
      const int16x4x2_t low2 = vld2_s16(row2), high2 = vld2_s16(row2 + kLaneBlock);
      at[dx] = vcombine_s16(low01.val[0], high01.val[0]);
      at[3 + dx] = vcombine_s16(low01.val[1], high01.val[1]);
      at[6 + dx] = vcombine_s16(low2.val[0], high2.val[0]);
    }
  }
};

void depthwise(const int16_t* x, int height, int width, const DepthwiseView& layer, PixelRange range, int16_t* out,
               ptrdiff_t out_stride) {
  const int c = layer.channels;
  for (int channel = 0; channel < c; channel += kVector) {
    const int group = channel / kLaneBlock * kLaneBlock, valid = c - channel;
    const Taps8 taps(layer.taps + static_cast<ptrdiff_t>(group) * 12, channel - group);
    const Rescale8 rescale_lanes(layer.multiplier + group, layer.addend + group, channel - group);
    for (int k = 0; k < range.count; ++k) {
      const int row = (range.first + k) / width, column = (range.first + k) % width;
      int32x4_t low = vdupq_n_s32(0), high = vdupq_n_s32(0);
      for (int cell = 0; cell < 9; ++cell) {
        const int r = row + cell / 3 - 1, q = column + cell % 3 - 1;
        if (r < 0 || r >= height || q < 0 || q >= width) continue;
        const int16x8_t values = load_some(x + (static_cast<ptrdiff_t>(r) * width + q) * c + channel, valid);
        low = vmlal_s16(low, vget_low_s16(values), vget_low_s16(taps.at[cell]));
        high = vmlal_high_s16(high, values, taps.at[cell]);
      }
      store_some(out + k * out_stride + channel, valid, rescale_lanes(low, high));
    }
  }
}

}  // namespace

const KernelTable& neon_kernels() {
  static const KernelTable table{"neon",  nullptr,  multiply_in_two<accumulate, finish>, depthwise, activate,
                                 add_all, scale_all};
  return table;
}

}  // namespace dcvc::kernels
