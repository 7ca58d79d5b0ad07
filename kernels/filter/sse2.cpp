// The kernels in SSE2, which every x86-64 has.
#include <emmintrin.h>

#include <algorithm>

#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {
namespace {

__m128i load_4(const int16_t* samples) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(samples)); }
__m128i load_8(const int16_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
void store_8(void* memory, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(memory), v); }

__m128i limited(__m128i difference) {
  return _mm_min_epi16(_mm_max_epi16(difference, _mm_set1_epi16(-kClip)), _mm_set1_epi16(kClip));
}

void pair_terms(const int16_t* here, ptrdiff_t offset, size_t width, int16_t* plain, int16_t* limited_sum) {
  size_t x = 0;
  for (; x + 8 <= width; x += 8) {
    const __m128i at = load_8(here + x);
    const __m128i a = _mm_sub_epi16(load_8(here + offset + x), at), b = _mm_sub_epi16(load_8(here - offset + x), at);
    store_8(plain + x, _mm_add_epi16(a, b));
    store_8(limited_sum + x, _mm_add_epi16(limited(a), limited(b)));
  }
  if (x < width) kScalarKernels.pair_terms(here + x, offset, width - x, plain + x, limited_sum + x);
}

// |2 at - a - b|
__m128i second_difference(__m128i at, const int16_t* a, const int16_t* b) {
  const __m128i difference = _mm_sub_epi16(_mm_slli_epi16(at, 1), _mm_add_epi16(load_8(a), load_8(b)));
  return _mm_max_epi16(difference, _mm_sub_epi16(_mm_setzero_si128(), difference));
}

void add_activity(const int16_t* here, ptrdiff_t stride, size_t num_blocks, Activity* blocks) {
  static_assert(sizeof(Activity) == 8);
  const __m128i one = _mm_set1_epi16(1);
  size_t block = 0;
  for (; block + 2 <= num_blocks; block += 2) {
    const int16_t* at = here + block * kClassBlock;
    const __m128i samples = load_8(at);
    const __m128i v = _mm_madd_epi16(second_difference(samples, at - stride, at + stride), one);  // v00 v01 v10 v11
    const __m128i h = _mm_madd_epi16(second_difference(samples, at - 1, at + 1), one);
    const __m128i first = _mm_unpacklo_epi32(v, h), second = _mm_unpackhi_epi32(v, h);  // v00 h00 v01 h01, ...
    const __m128i sums = _mm_add_epi32(_mm_unpacklo_epi64(first, second), _mm_unpackhi_epi64(first, second));
    auto* memory = reinterpret_cast<__m128i*>(blocks + block);
    _mm_storeu_si128(memory, _mm_add_epi32(_mm_loadu_si128(memory), sums));
  }
  if (block < num_blocks) {
    kScalarKernels.add_activity(here + block * kClassBlock, stride, num_blocks - block, blocks + block);
  }
}

void filter_row(const int16_t* samples, const int16_t* terms, size_t width, int num_terms, const Coefficients* filters,
                const uint8_t* of_block, int16_t* out) {
  const __m128i zero = _mm_setzero_si128();
  for (size_t x = 0; x < width; x += kClassBlock) {
    const Coefficients& filter = filters[of_block[x / kClassBlock]];
    __m128i sum = _mm_set1_epi32(1 << (kCoefficientBits - 1));
    for (int k = 0; k < num_terms; k += 2) {
      const int16_t* first = terms + static_cast<size_t>(k) * width + x;
      const __m128i pairs = _mm_unpacklo_epi16(load_4(first), load_4(first + width));
      const auto* coefficients = reinterpret_cast<const __m128i*>(filter.pairs[k / 2]);
      sum = _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_load_si128(coefficients)));
    }
    const __m128i wide = _mm_unpacklo_epi16(load_4(samples + x), zero);  // samples are not negative
    const __m128i row = _mm_packs_epi32(_mm_add_epi32(wide, _mm_srai_epi32(sum, kCoefficientBits)), zero);
    const __m128i within = _mm_min_epi16(_mm_max_epi16(row, zero), _mm_set1_epi16(kMaxSample));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + x), within);
  }
}

void add_products(const int16_t (*samples)[kChunk], int num_terms, int64_t (*sums)[kChromaTerms]) {
  for (int i = 0; i <= num_terms; ++i) {
    const __m128i first = load_8(samples[i]), last = load_8(samples[i] + 8);
    const auto product = [&](int j) {
      return _mm_add_epi32(_mm_madd_epi16(first, load_8(samples[j])), _mm_madd_epi16(last, load_8(samples[j] + 8)));
    };
    for (int j = 0; j <= std::min(i, num_terms - 1); j += 4) {
      const __m128i a = product(j), b = product(j + 1), c = product(j + 2), d = product(j + 3);
      const __m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));  // a b a b
      const __m128i cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
      const __m128i four = _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
      const __m128i sign = _mm_srai_epi32(four, 31);
      auto* memory = reinterpret_cast<__m128i*>(sums[i] + j);
      _mm_storeu_si128(memory, _mm_add_epi64(_mm_loadu_si128(memory), _mm_unpacklo_epi32(four, sign)));
      _mm_storeu_si128(memory + 1, _mm_add_epi64(_mm_loadu_si128(memory + 1), _mm_unpackhi_epi32(four, sign)));
    }
  }
}

}  // namespace

const KernelTable kSse2Kernels{"sse2", pair_terms, add_activity, filter_row, add_products};

}  // namespace dcvc::filter
