// The kernels in NEON, which every 64-bit Arm has.
#include <arm_neon.h>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/overlap.hpp"

namespace dcvc::motion {
namespace {

int sad_8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  uint16x8_t sum = vdupq_n_u16(0);
  for (int y = 0; y < 8; ++y) sum = vabal_u8(sum, vld1_u8(a + y * stride_a), vld1_u8(b + y * stride_b));
  return static_cast<int>(vaddlvq_u16(sum));
}

int sad_16(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  uint16x8_t sum = vdupq_n_u16(0);
  for (int y = 0; y < 16; ++y) {
    const uint8x16_t row_a = vld1q_u8(a + y * stride_a), row_b = vld1q_u8(b + y * stride_b);
    sum = vabal_u8(sum, vget_low_u8(row_a), vget_low_u8(row_b));
    sum = vabal_high_u8(sum, row_a, row_b);
  }
  return static_cast<int>(vaddlvq_u16(sum));
}

void butterfly(int16x8_t& a, int16x8_t& b) {
  const int16x8_t sum = vaddq_s16(a, b);
  b = vsubq_s16(a, b);
  a = sum;
}

template <int half>
void butterflies(int16x8_t d[8]) {
  for (int first = 0; first < 8; first += 2 * half) {
    for (int y = first; y < first + half; ++y) butterfly(d[y], d[y + half]);
  }
}

void transpose(int16x8_t d[8]) {
  int16x8_t e[8], f[8];
  for (int i = 0; i < 4; ++i) {
    e[2 * i] = vzip1q_s16(d[i], d[i + 4]);
    e[2 * i + 1] = vzip2q_s16(d[i], d[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    f[2 * i] = vzip1q_s16(e[i], e[i + 4]);
    f[2 * i + 1] = vzip2q_s16(e[i], e[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    d[2 * i] = vzip1q_s16(f[i], f[i + 4]);
    d[2 * i + 1] = vzip2q_s16(f[i], f[i + 4]);
  }
}

int hadamard_8x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  int16x8_t d[8];
  for (int y = 0; y < 8; ++y) {
    d[y] = vreinterpretq_s16_u16(vsubl_u8(vld1_u8(a + y * stride_a), vld1_u8(b + y * stride_b)));
  }
  butterflies<4>(d);
  butterflies<2>(d);
  butterflies<1>(d);
  transpose(d);
  butterflies<4>(d);
  butterflies<2>(d);
  // The last step: |p + q| + |p - q| is twice the larger of |p| and |q|; four of them stay below 4 * 32 * 255.
  int16x8_t sum = vdupq_n_s16(0);
  for (int y = 0; y < 8; y += 2) sum = vaddq_s16(sum, vmaxq_s16(vabsq_s16(d[y]), vabsq_s16(d[y + 1])));
  return (2 * vaddlvq_s16(sum) + 2) >> 2;
}

int hadamard_16x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  return hadamard_8x8(a, stride_a, b, stride_b) + hadamard_8x8(a + 8, stride_a, b + 8, stride_b);
}

void average(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side, uint8_t* out) {
  for (int y = 0; y < side; ++y) {
    const uint8_t *row_a = a + y * stride_a, *row_b = b + y * stride_b;
    if (side == 16) {
      vst1q_u8(out + 16 * y, vrhaddq_u8(vld1q_u8(row_a), vld1q_u8(row_b)));
    } else {
      vst1_u8(out + 16 * y, vrhadd_u8(vld1_u8(row_a), vld1_u8(row_b)));
    }
  }
}

void half_samples(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count) {
  // The filter is symmetric: two samples have each tap. Sums stay within -6120..22440.
  const auto pair = [&](const uint8_t* at, int k) {
    return vreinterpretq_s16_u16(vaddl_u8(vld1_u8(at - k * step), vld1_u8(at + (k + 1) * step)));
  };
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const uint8_t* at = source + i;
    int16x8_t sum = vsubq_s16(vshlq_n_s16(pair(at, 2), 2), pair(at, 3));
    sum = vmlaq_n_s16(sum, pair(at, 0), 40);
    sum = vmlsq_n_s16(sum, pair(at, 1), 11);
    vst1_u8(target + i, vqrshrun_n_s16(sum, kFilterBits));
  }
  if (i < count) kScalarKernels.half_samples(source + i, step, target + i, count - i);
}

uint8x8_t row_of(const ByteSquare& square, ptrdiff_t offset) {
  const uint8x8_t row = vld1_u8(square.first + offset);
  return square.second ? vrhadd_u8(row, vld1_u8(square.second + offset)) : row;
}

void copy_square(const ByteSquare& square, ptrdiff_t stride, uint8_t* out) {
  for (int y = 0; y < 8; ++y) vst1_u8(out + 8 * y, row_of(square, y * stride));
}

// The first four of `left`, the last four of `right`.
uint8x8_t joined(uint8x8_t left, uint8x8_t right) {
  return vreinterpret_u8_u32(vset_lane_u32(vget_lane_u32(vreinterpret_u32_u8(right), 1), vreinterpret_u32_u8(left), 1));
}

void overlap_bytes(const ByteSquare (&squares)[5], ptrdiff_t stride, uint8_t* out) {
  const auto& [own, above, below, left, right] = squares;
  for (int y = 0; y < 8; ++y) {
    const ptrdiff_t offset = y * stride;
    const uint8x8_t a = vreinterpret_u8_s8(vld1_s8(kOwn[y])), b = vreinterpret_u8_s8(vld1_s8(kVertical[y]));
    uint16x8_t sum = vmull_u8(row_of(own, offset), a);
    sum = vmlal_u8(sum, row_of(y < 4 ? above : below, offset), b);
    sum = vmlal_u8(sum, joined(row_of(left, offset), row_of(right, offset)), vsub_u8(vdup_n_u8(8), vadd_u8(a, b)));
    vst1_u8(out + 8 * y, vrshrn_n_u16(sum, 3));
  }
}

// Rounded sums of 8 rows times taps.
int16x8_t filtered(const int16x8_t* rows, const int16_t* taps) {
  int32x4_t low = vdupq_n_s32(0), high = low;
  for (int tap = 0; tap < kTaps; ++tap) {
    low = vmlal_n_s16(low, vget_low_s16(rows[tap]), taps[tap]);
    high = vmlal_n_s16(high, vget_high_s16(rows[tap]), taps[tap]);
  }
  return vcombine_s16(vrshrn_n_s32(low, kFilterBits), vrshrn_n_s32(high, kFilterBits));
}

void interpolate(const int16_t* window, ptrdiff_t stride, int fraction_x, int fraction_y, int first, int last,
                 SampleSquare& out) {
  int16x8_t lines[15];
  const int begin = fraction_y ? first : first + 3, end = fraction_y ? last + 7 : last + 3;
  for (int y = begin; y < end; ++y) {
    const int16_t* line = window + y * stride;
    if (fraction_x) {
      int16x8_t moved[kTaps];
      for (int tap = 0; tap < kTaps; ++tap) moved[tap] = vld1q_s16(line + tap);
      lines[y] = filtered(moved, kSubpelFilters[fraction_x]);
    } else {
      lines[y] = vld1q_s16(line + 3);
    }
  }
  for (int y = first; y < last; ++y) {
    vst1q_s16(out + 8 * y, fraction_y ? filtered(lines + y, kSubpelFilters[fraction_y]) : lines[y + 3]);
  }
}

void overlap_samples(SampleSquare& own, const SampleSquare& above, const SampleSquare& below, const SampleSquare& left,
                     const SampleSquare& right) {
  for (int y = 0; y < 8; ++y) {
    const int16x8_t self = vld1q_s16(own + 8 * y), vertical = vld1q_s16((y < 4 ? above : below) + 8 * y);
    const int16x4_t before = vld1_s16(left + 8 * y), after = vld1_s16(right + 8 * y + 4);
    const int16x8_t a = vmovl_s8(vld1_s8(kOwn[y])), b = vmovl_s8(vld1_s8(kVertical[y]));
    const int16x8_t c = vsubq_s16(vdupq_n_s16(8), vaddq_s16(a, b));
    int32x4_t low = vmull_s16(vget_low_s16(self), vget_low_s16(a));
    low = vmlal_s16(low, vget_low_s16(vertical), vget_low_s16(b));
    low = vmlal_s16(low, before, vget_low_s16(c));
    int32x4_t high = vmull_high_s16(self, a);
    high = vmlal_high_s16(high, vertical, b);
    high = vmlal_s16(high, after, vget_high_s16(c));
    vst1q_s16(own + 8 * y, vcombine_s16(vrshrn_n_s32(low, 3), vrshrn_n_s32(high, 3)));
  }
}

void limit(const SampleSquare& square, const SampleSquare* second, int16_t max_value, int16_t* out, ptrdiff_t stride) {
  const auto limited = [&](const int16_t* row) {
    return vminq_s16(vmaxq_s16(vld1q_s16(row), vdupq_n_s16(0)), vdupq_n_s16(max_value));
  };
  for (int y = 0; y < 8; ++y) {
    int16x8_t row = limited(square + 8 * y);
    if (second) row = vrhaddq_s16(row, limited(*second + 8 * y));
    vst1q_s16(out + y * stride, row);
  }
}

}  // namespace

const KernelTable kNeonKernels{"neon",       sad_8,       sad_16,        hadamard_8x8, hadamard_16x8,   average,
                               half_samples, copy_square, overlap_bytes, interpolate,  overlap_samples, limit};

}  // namespace dcvc::motion
