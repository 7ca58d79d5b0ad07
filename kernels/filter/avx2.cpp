// The kernels in AVX2.
#include <immintrin.h>

#include <algorithm>

#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {
namespace {

__m128i load_8(const int16_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
__m256i load_16(const int16_t* samples) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(samples)); }
void store_256(void* memory, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(memory), v); }

__m256i limited(__m256i difference) {
  return _mm256_min_epi16(_mm256_max_epi16(difference, _mm256_set1_epi16(-kClip)), _mm256_set1_epi16(kClip));
}

void pair_terms(const int16_t* here, ptrdiff_t offset, size_t width, int16_t* plain, int16_t* limited_sum) {
  size_t x = 0;
  for (; x + 16 <= width; x += 16) {
    const __m256i at = load_16(here + x);
    const __m256i a = _mm256_sub_epi16(load_16(here + offset + x), at);
    const __m256i b = _mm256_sub_epi16(load_16(here - offset + x), at);
    store_256(plain + x, _mm256_add_epi16(a, b));
    store_256(limited_sum + x, _mm256_add_epi16(limited(a), limited(b)));
  }
  if (x < width) kSse2Kernels.pair_terms(here + x, offset, width - x, plain + x, limited_sum + x);
}

// |2 at - a - b|
__m256i second_difference(__m256i at, const int16_t* a, const int16_t* b) {
  return _mm256_abs_epi16(_mm256_sub_epi16(_mm256_slli_epi16(at, 1), _mm256_add_epi16(load_16(a), load_16(b))));
}

void add_activity(const int16_t* here, ptrdiff_t stride, size_t num_blocks, Activity* blocks) {
  static_assert(sizeof(Activity) == 8);
  const __m256i one = _mm256_set1_epi16(1);
  size_t block = 0;
  for (; block + 4 <= num_blocks; block += 4) {
    const int16_t* at = here + block * kClassBlock;
    const __m256i samples = load_16(at);
    const __m256i v = _mm256_madd_epi16(second_difference(samples, at - stride, at + stride), one);
    const __m256i h = _mm256_madd_epi16(second_difference(samples, at - 1, at + 1), one);
    const __m256i sums = _mm256_shuffle_epi32(_mm256_hadd_epi32(v, h), 0xD8);  // v0 v1 h0 h1 -> v0 h0 v1 h1
    auto* memory = reinterpret_cast<__m256i*>(blocks + block);
    _mm256_storeu_si256(memory, _mm256_add_epi32(_mm256_loadu_si256(memory), sums));
  }
  if (block < num_blocks) {
    kSse2Kernels.add_activity(here + block * kClassBlock, stride, num_blocks - block, blocks + block);
  }
}

// Filters two blocks at once. The compiler knows the number of terms.
template <int num_terms>
void filter_pairs(const int16_t* samples, const int16_t* terms, size_t width, size_t num_samples,
                  const Coefficients* filters, const uint8_t* of_block, int16_t* out) {
  for (size_t x = 0; x < num_samples; x += 2 * kClassBlock) {
    const Coefficients &left = filters[of_block[x / kClassBlock]], &right = filters[of_block[x / kClassBlock + 1]];
    __m256i sum = _mm256_set1_epi32(1 << (kCoefficientBits - 1));
    for (int k = 0; k < num_terms; k += 2) {
      const int16_t* first = terms + static_cast<size_t>(k) * width + x;
      const __m128i even = load_8(first), odd = load_8(first + width);
      const __m256i pairs = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(even, odd)),
                                                    _mm_unpackhi_epi16(even, odd), 1);
      const auto of = [&](const Coefficients& filter) {
        return _mm_load_si128(reinterpret_cast<const __m128i*>(filter.pairs[k / 2]));
      };
      const __m256i coefficients = _mm256_inserti128_si256(_mm256_castsi128_si256(of(left)), of(right), 1);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, coefficients));
    }
    const __m256i wide = _mm256_cvtepi16_epi32(load_8(samples + x));
    const __m256i row = _mm256_add_epi32(wide, _mm256_srai_epi32(sum, kCoefficientBits));
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(row), _mm256_extracti128_si256(row, 1));
    const __m128i within = _mm_min_epi16(_mm_max_epi16(packed, _mm_setzero_si128()), _mm_set1_epi16(kMaxSample));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x), within);
  }
}

void filter_row(const int16_t* samples, const int16_t* terms, size_t width, int num_terms, const Coefficients* filters,
                const uint8_t* of_block, int16_t* out) {
  const size_t paired = width / (2 * kClassBlock) * (2 * kClassBlock);
  if (num_terms == kLumaTerms) {
    filter_pairs<kLumaTerms>(samples, terms, width, paired, filters, of_block, out);
  } else {
    filter_pairs<kChromaTerms>(samples, terms, width, paired, filters, of_block, out);
  }
  for (size_t x = paired; x < width; ++x) {  // a last block, alone
    const Coefficients& filter = filters[of_block[x / kClassBlock]];
    int32_t sum = 1 << (kCoefficientBits - 1);
    for (int k = 0; k < num_terms; ++k)
      sum += filter.pairs[k / 2][0][k % 2] * terms[static_cast<size_t>(k) * width + x];
    out[x] = static_cast<int16_t>(std::clamp(samples[x] + (sum >> kCoefficientBits), 0, kMaxSample));
  }
}

void add_products(const int16_t (*samples)[kChunk], int num_terms, int64_t (*sums)[kChromaTerms]) {
  for (int i = 0; i <= num_terms; ++i) {
    const __m256i row = load_16(samples[i]);
    const auto product = [&](int j) { return _mm256_madd_epi16(row, load_16(samples[j])); };
    for (int j = 0; j <= std::min(i, num_terms - 1); j += 4) {
      const __m256i ab = _mm256_hadd_epi32(product(j), product(j + 1));
      const __m256i cd = _mm256_hadd_epi32(product(j + 2), product(j + 3));
      const __m256i abcd = _mm256_hadd_epi32(ab, cd);  // in both halves
      const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
      auto* memory = reinterpret_cast<__m256i*>(sums[i] + j);
      _mm256_storeu_si256(memory, _mm256_add_epi64(_mm256_loadu_si256(memory), _mm256_cvtepi32_epi64(four)));
    }
  }
}

}  // namespace

const KernelTable kAvx2Kernels{"avx2", pair_terms, add_activity, filter_row, add_products};

}  // namespace dcvc::filter
