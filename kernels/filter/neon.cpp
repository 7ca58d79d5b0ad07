// The kernels in NEON, which every 64-bit Arm has.
#include <arm_neon.h>

#include <algorithm>

#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {
namespace {

int16x8_t limited(int16x8_t difference) {
  return vminq_s16(vmaxq_s16(difference, vdupq_n_s16(-kClip)), vdupq_n_s16(kClip));
}

void pair_terms(const int16_t* here, ptrdiff_t offset, size_t width, int16_t* plain, int16_t* limited_sum) {
  size_t x = 0;
  for (; x + 8 <= width; x += 8) {
    const int16x8_t at = vld1q_s16(here + x);
    const int16x8_t a = vsubq_s16(vld1q_s16(here + offset + x), at), b = vsubq_s16(vld1q_s16(here - offset + x), at);
    vst1q_s16(plain + x, vaddq_s16(a, b));
    vst1q_s16(limited_sum + x, vaddq_s16(limited(a), limited(b)));
  }
  if (x < width) kScalarKernels.pair_terms(here + x, offset, width - x, plain + x, limited_sum + x);
}

// |2 at - a - b|
int16x8_t second_difference(int16x8_t at, const int16_t* a, const int16_t* b) {
  return vabsq_s16(vsubq_s16(vshlq_n_s16(at, 1), vaddq_s16(vld1q_s16(a), vld1q_s16(b))));
}

void add_activity(const int16_t* here, ptrdiff_t stride, size_t num_blocks, Activity* blocks) {
  static_assert(sizeof(Activity) == 8);
  size_t block = 0;
  for (; block + 2 <= num_blocks; block += 2) {
    const int16_t* at = here + block * kClassBlock;
    const int16x8_t samples = vld1q_s16(at);
    const int32x4_t v = vpaddlq_s16(second_difference(samples, at - stride, at + stride));
    const int32x4_t h = vpaddlq_s16(second_difference(samples, at - 1, at + 1));
    const int32x4_t both = vpaddq_s32(v, h);  // v0 v1 h0 h1
    const int32x4_t sums = vcombine_s32(vzip1_s32(vget_low_s32(both), vget_high_s32(both)),
                                        vzip2_s32(vget_low_s32(both), vget_high_s32(both)));
    auto* memory = &blocks[block].vertical;
    vst1q_s32(memory, vaddq_s32(vld1q_s32(memory), sums));
  }
  if (block < num_blocks) {
    kScalarKernels.add_activity(here + block * kClassBlock, stride, num_blocks - block, blocks + block);
  }
}

void filter_row(const int16_t* samples, const int16_t* terms, size_t width, int num_terms, const Coefficients* filters,
                const uint8_t* of_block, int16_t* out) {
  for (size_t x = 0; x < width; x += kClassBlock) {
    const Coefficients& filter = filters[of_block[x / kClassBlock]];
    int32x4_t sum = vdupq_n_s32(0);
    for (int k = 0; k < num_terms; ++k) {
      sum = vmlal_n_s16(sum, vld1_s16(terms + static_cast<size_t>(k) * width + x), filter.pairs[k / 2][0][k % 2]);
    }
    const int32x4_t row = vaddw_s16(vrshrq_n_s32(sum, kCoefficientBits), vld1_s16(samples + x));
    const int32x4_t within = vminq_s32(vmaxq_s32(row, vdupq_n_s32(0)), vdupq_n_s32(kMaxSample));
    vst1_s16(out + x, vmovn_s32(within));
  }
}

void add_products(const int16_t (*samples)[kChunk], int num_terms, int64_t (*sums)[kChromaTerms]) {
  for (int i = 0; i <= num_terms; ++i) {
    const int16x8_t first = vld1q_s16(samples[i]), last = vld1q_s16(samples[i] + 8);
    for (int j = 0; j <= std::min(i, num_terms - 1); ++j) {
      const int16x8_t other_first = vld1q_s16(samples[j]), other_last = vld1q_s16(samples[j] + 8);
      int32x4_t sum = vmull_s16(vget_low_s16(first), vget_low_s16(other_first));
      sum = vmlal_high_s16(sum, first, other_first);
      sum = vmlal_s16(sum, vget_low_s16(last), vget_low_s16(other_last));
      sum = vmlal_high_s16(sum, last, other_last);
      sums[i][j] += vaddvq_s32(sum);
    }
  }
}

}  // namespace

const KernelTable kNeonKernels{"neon", pair_terms, add_activity, filter_row, add_products};

}  // namespace dcvc::filter
