// The kernels in plain C++, which all other forms are compared with.
#include <algorithm>
#include <cstdlib>

#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {
namespace {

int limited_difference(int difference) { return std::clamp(difference, -kClip, kClip); }

void pair_terms(const int16_t* here, ptrdiff_t offset, size_t width, int16_t* plain, int16_t* limited) {
  const int16_t *after = here + offset, *before = here - offset;
  for (size_t x = 0; x < width; ++x) {
    const int a = after[x] - here[x], b = before[x] - here[x];
    plain[x] = static_cast<int16_t>(a + b);
    limited[x] = static_cast<int16_t>(limited_difference(a) + limited_difference(b));
  }
}

void add_activity(const int16_t* here, ptrdiff_t stride, size_t num_blocks, Activity* blocks) {
  for (size_t x = 0; x < num_blocks * kClassBlock; ++x) {
    const int16_t* at = here + x;
    blocks[x / kClassBlock].vertical += std::abs(2 * at[0] - at[-stride] - at[stride]);
    blocks[x / kClassBlock].horizontal += std::abs(2 * at[0] - at[-1] - at[1]);
  }
}

void filter_row(const int16_t* samples, const int16_t* terms, size_t width, int num_terms, const Coefficients* filters,
                const uint8_t* of_block, int16_t* out) {
  for (size_t x = 0; x < width; ++x) {
    const Coefficients& filter = filters[of_block[x / kClassBlock]];
    int32_t sum = 1 << (kCoefficientBits - 1);
    for (int k = 0; k < num_terms; ++k)
      sum += filter.pairs[k / 2][0][k % 2] * terms[static_cast<size_t>(k) * width + x];
    out[x] = static_cast<int16_t>(std::clamp(samples[x] + (sum >> kCoefficientBits), 0, kMaxSample));
  }
}

void add_products(const int16_t (*samples)[kChunk], int num_terms, int64_t (*sums)[kChromaTerms]) {
  for (int i = 0; i <= num_terms; ++i) {
    for (int j = 0; j <= std::min(i, num_terms - 1); ++j) {
      int32_t sum = 0;
      for (int x = 0; x < kChunk; ++x) sum += samples[i][x] * samples[j][x];
      sums[i][j] += sum;
    }
  }
}

}  // namespace

const KernelTable kScalarKernels{"scalar", pair_terms, add_activity, filter_row, add_products};

}  // namespace dcvc::filter
